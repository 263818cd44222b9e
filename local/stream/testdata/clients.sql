-- What clients send when they connect and look around, in their own words.

-- JDBC: getSchemas, also Metabase's
SELECT nspname AS "TABLE_SCHEM", current_database() AS "TABLE_CATALOG" FROM pg_catalog.pg_namespace
WHERE nspname <> 'pg_toast' AND (nspname !~ '^pg_temp_' OR nspname = (pg_catalog.current_schemas(true))[1])
ORDER BY "TABLE_SCHEM";

-- JDBC: getTables
SELECT n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME,
  CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN 'SYSTEM'
  WHEN false THEN CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'i' THEN 'INDEX' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END
  ELSE NULL END AS TABLE_TYPE, d.description AS REMARKS
FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass)
WHERE c.relnamespace = n.oid AND n.nspname LIKE 'public' ORDER BY TABLE_TYPE, TABLE_SCHEM, TABLE_NAME;

-- JDBC: getColumns
SELECT nspname, relname, attname, atttypid, attnotnull, atttypmod, attlen, typtypmod, attnum, adsrc, description, typbasetype, typtype
FROM (SELECT n.nspname, c.relname, a.attname, a.atttypid, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull, a.atttypmod, a.attlen,
    t.typtypmod, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc,
    dsc.description, t.typbasetype, t.typtype
  FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid)
  JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid)
  LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid = def.adrelid AND a.attnum = def.adnum)
  LEFT JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
  LEFT JOIN pg_catalog.pg_class dc ON (dc.oid = dsc.classoid AND dc.relname = 'pg_class')
  WHERE c.relkind IN ('r', 'p', 'v', 'f', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'public') c
WHERE relname LIKE 'types' ORDER BY nspname, c.relname, attnum;

-- JDBC: the type behind an OID
SELECT typinput = 'pg_catalog.array_in'::regproc AS is_array, typtype, typname, pg_type.oid FROM pg_catalog.pg_type
LEFT JOIN (SELECT ns.oid AS nspoid, ns.nspname, r.r FROM pg_namespace AS ns
  JOIN (SELECT s.r, (current_schemas(false))[s.r] AS nspname FROM generate_series(1, array_upper(current_schemas(false), 1)) AS s(r)) AS r
  USING (nspname)) AS sp ON sp.nspoid = typnamespace
WHERE pg_type.oid = 1016 ORDER BY sp.r, pg_type.oid DESC;

-- JDBC: getPrimaryKeys and getIndexInfo read an array's elements so
SELECT i.relname, (keys).n AS position, a.attname FROM (SELECT ci.relname, ix.indrelid, information_schema._pg_expandarray(ix.indkey) AS keys
  FROM pg_catalog.pg_index ix JOIN pg_catalog.pg_class ci ON ci.oid = ix.indexrelid) i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = (keys).x ORDER BY 1, 2;

-- DBeaver: schemas
SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass ORDER BY nspname;

-- DBeaver: who and where
SELECT current_schema(), session_user;

-- Metabase: tables
SELECT "n"."nspname" AS "schema", "c"."relname" AS "name", CASE "c"."relkind" WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END AS "type",
  "d"."description" AS "description", "stat"."n_live_tup" AS "estimated_row_count"
FROM "pg_catalog"."pg_class" AS "c" INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "c"."relnamespace" = "n"."oid"
LEFT JOIN "pg_catalog"."pg_description" AS "d" ON ("c"."oid" = "d"."objoid") AND ("d"."objsubid" = '0') AND ("d"."classoid" = 'pg_class'::regclass)
LEFT JOIN "pg_stat_user_tables" AS "stat" ON ("n"."nspname" = "stat"."schemaname") AND ("c"."relname" = "stat"."relname")
WHERE ("n"."nspname" !~ '^pg_') AND ("n"."nspname" <> 'information_schema') AND c.relkind IN ('r', 'p', 'v', 'f', 'm') AND ("n"."nspname" IN ('public'))
ORDER BY "type" ASC, "schema" ASC, "name" ASC;

-- Metabase: who may read what
WITH table_privileges AS (
  SELECT t.schemaname AS schema, t.objectname AS "table",
    pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'update') AS update,
    pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'select') AS "select"
  FROM (SELECT schemaname, tablename AS objectname FROM pg_catalog.pg_tables
    UNION SELECT schemaname, viewname FROM pg_catalog.pg_views UNION SELECT schemaname, matviewname FROM pg_catalog.pg_matviews) t
  WHERE t.schemaname !~ '^pg_' AND pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage'))
SELECT t.* FROM table_privileges t ORDER BY 2;

-- Metabase: fields
SELECT c.column_name AS name, c.udt_name AS "database-type", c.ordinal_position - 1 AS position, c.table_schema, c.table_name,
  col_description(CAST(CAST(format('%I.%I', CAST(c.table_schema AS text), CAST(c.table_name AS text)) AS regclass) AS oid), c.ordinal_position) AS comment
FROM information_schema.columns AS c WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND c.table_name IN ('kept') ORDER BY 3;

-- pgcli: columns
SELECT nsp.nspname schema_name, cls.relname table_name, att.attname column_name, att.atttypid::regtype::text type_name,
  att.atthasdef AS has_default, pg_catalog.pg_get_expr(def.adbin, def.adrelid, true) AS default_value
FROM pg_catalog.pg_attribute att INNER JOIN pg_catalog.pg_class cls ON att.attrelid = cls.oid
INNER JOIN pg_catalog.pg_namespace nsp ON cls.relnamespace = nsp.oid
LEFT OUTER JOIN pg_attrdef def ON def.adrelid = att.attrelid AND def.adnum = att.attnum
WHERE cls.relkind = ANY('{v,m}') AND NOT att.attisdropped AND att.attnum > 0 ORDER BY 1, 2, att.attnum;

-- psycopg: a type by its name
SELECT typname AS name, oid, typarray AS array_oid, oid::regtype::text AS regtype, typdelim AS delimiter FROM pg_type t WHERE t.oid = to_regtype('int8') ORDER BY t.oid;

-- Grafana: tables
SELECT quote_ident(table_name) AS "table" FROM information_schema.tables
WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog') ORDER BY 1;

-- Superset, dbt: what there is
SELECT table_catalog, table_schema, table_name, table_type, is_insertable_into FROM information_schema.tables ORDER BY table_name;

-- any: columns
SELECT table_name, column_name, ordinal_position, is_nullable, data_type, udt_name, numeric_precision, datetime_precision FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY table_name, ordinal_position;

-- any: views
SELECT table_name, view_definition FROM information_schema.views WHERE table_name = 'counted';

-- any: schemata
SELECT catalog_name, schema_name FROM information_schema.schemata ORDER BY 2;

-- the program's applier: objects
SELECT o.id, o.name, o.type, s.name AS schema, d.name AS database, c.name AS cluster FROM mz_catalog.mz_objects AS o
JOIN mz_schemas AS s ON s.id = o.schema_id JOIN mz_catalog.mz_databases AS d ON d.id = s.database_id
LEFT JOIN mz_clusters AS c ON c.id = o.cluster_id WHERE o.id LIKE 'u%' ORDER BY o.oid;

-- the program's applier: what is made of what
SELECT o.name, r.name AS of FROM mz_internal.mz_object_dependencies AS d JOIN mz_objects AS o ON o.id = d.object_id JOIN mz_objects AS r ON r.id = d.referenced_object_id ORDER BY 1, 2;

-- Materialize's: sources and sinks
SELECT s.name, s.type, s.envelope_type, s.key_format, s.value_format, k.topic, s.create_sql FROM mz_sources AS s JOIN mz_kafka_sources AS k USING (id)
UNION ALL SELECT s.name, s.type, s.envelope_type, s.key_format, s.value_format, k.topic, s.create_sql FROM mz_sinks AS s JOIN mz_kafka_sinks AS k USING (id) ORDER BY 1;

-- Materialize's: columns
SELECT o.name AS relation, c.name, c.position, c.nullable, c.type, c.type_oid FROM mz_columns AS c JOIN mz_relations AS o USING (id) WHERE o.name = 'types' ORDER BY c.position;

-- Materialize's: indexes
SELECT i.name, o.name AS on, i.create_sql FROM mz_indexes AS i JOIN mz_objects AS o ON o.id = i.on_id ORDER BY 1;
