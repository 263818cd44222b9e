// Parses the SQL on stdin with Materialize's own parser and writes what it found
// to stdout: {"statements": [{kind, sql, offset}], "error": {message, offset}}.
//
//   TRIPCAST_SQL_PARSER=DIR node parse.mjs < file.sql
//
// DIR holds node_modules/@materializeinc/sql-parser. The package is made for
// bundlers; this loads its WebAssembly by hand.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const dir = join(process.env.TRIPCAST_SQL_PARSER, 'node_modules/@materializeinc/sql-parser');
const glue = await import(pathToFileURL(join(dir, 'mz_sql_parser_wasm_bg.js')));
const wasm = await WebAssembly.instantiate(readFileSync(join(dir, 'mz_sql_parser_wasm_bg.wasm')), {
  './mz_sql_parser_wasm_bg.js': glue,
});
glue.__wbg_set_wasm(wasm.instance.exports);
wasm.instance.exports.__wbindgen_start?.();

const { statements, error } = glue.parse(readFileSync(0, 'utf8'));
const plain = {
  statements: statements.map(({ kind, sql, offset }) => ({ kind, sql, offset })),
  error: error ? { message: error.message, offset: error.offset } : null,
};
process.stdout.write(JSON.stringify(plain));
