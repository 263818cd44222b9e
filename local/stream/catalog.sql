-- The catalogues that clients ask, made of the facts that catalog.go writes.
--
-- The relations of mz_catalog and mz_internal are Materialize's, with the columns
-- that can be filled truthfully and NULL in those that have no meaning here.
-- Those of pg_catalog (in schema postgres: DuckDB has a pg_catalog of its own,
-- which tells of DuckDB) and of information_schema (in schema information) are
-- what psql, JDBC, SQLAlchemy and the tools on them ask when they look around.
CREATE SCHEMA facts;
CREATE SCHEMA mz_catalog;
CREATE SCHEMA mz_internal;
CREATE SCHEMA postgres;
CREATE SCHEMA information;

CREATE TABLE facts.objects (
    id VARCHAR, oid BIGINT, name VARCHAR, type VARCHAR, cluster VARCHAR, connection VARCHAR,
    topic VARCHAR, on_name VARCHAR, key VARCHAR[], key_positions BIGINT[], definition VARCHAR, create_sql VARCHAR, key_format VARCHAR
);
CREATE TABLE facts.columns (id VARCHAR, name VARCHAR, position BIGINT, type VARCHAR);
CREATE TABLE facts.dependencies (object_id VARCHAR, referenced_object_id VARCHAR);
CREATE TABLE facts.comments (id VARCHAR, object_type VARCHAR, object_sub_id BIGINT, comment VARCHAR);
CREATE TABLE facts.settings (name VARCHAR, setting VARCHAR);
CREATE TABLE facts.clusters (id VARCHAR, name VARCHAR);

CREATE TABLE facts.schemas AS SELECT * FROM (VALUES
    ('s1', 1000, NULL, 'mz_catalog'), ('s2', 11, NULL, 'pg_catalog'), ('s3', 1001, NULL, 'mz_internal'),
    ('s4', 1002, NULL, 'information_schema'), ('u1', 2200, 'u1', 'public')
) AS s(id, oid, database_id, name);

-- The types that columns have, under Postgres's OIDs; a map is told as jsonb.
CREATE TABLE facts.types AS SELECT * FROM (VALUES
    (16, 'bool', 'boolean', 1000, 'B', 1), (17, 'bytea', 'bytea', 1001, 'U', -1), (18, 'char', '"char"', 1002, 'Z', 1),
    (19, 'name', 'name', 1003, 'S', 64), (20, 'int8', 'bigint', 1016, 'N', 8), (21, 'int2', 'smallint', 1005, 'N', 2),
    (23, 'int4', 'integer', 1007, 'N', 4), (25, 'text', 'text', 1009, 'S', -1), (26, 'oid', 'oid', 1028, 'N', 4),
    (114, 'json', 'json', 199, 'U', -1), (700, 'float4', 'real', 1021, 'N', 4), (701, 'float8', 'double precision', 1022, 'N', 8),
    (1042, 'bpchar', 'character', 1014, 'S', -1), (1043, 'varchar', 'character varying', 1015, 'S', -1),
    (1082, 'date', 'date', 1182, 'D', 4), (1114, 'timestamp', 'timestamp without time zone', 1115, 'D', 8),
    (1184, 'timestamptz', 'timestamp with time zone', 1185, 'D', 8), (1700, 'numeric', 'numeric', 1231, 'N', -1),
    (3802, 'jsonb', 'jsonb', 3807, 'U', -1)
) AS t(oid, name, format, array_oid, category, length);

CREATE VIEW mz_catalog.mz_databases AS SELECT 'u1' AS id, 20000 AS oid, 'materialize' AS name, 'u1' AS owner_id, NULL::VARCHAR[] AS privileges;
CREATE VIEW mz_catalog.mz_schemas AS SELECT id, oid, database_id, name, 'u1' AS owner_id, NULL::VARCHAR[] AS privileges FROM facts.schemas;
CREATE VIEW mz_catalog.mz_roles AS SELECT 'u1' AS id, 10 AS oid, 'materialize' AS name, true AS inherit, true AS rolcanlogin, false AS rolsuper;
CREATE VIEW mz_catalog.mz_clusters AS SELECT id, name, 'u1' AS owner_id, NULL::VARCHAR[] AS privileges, false AS managed,
    NULL::VARCHAR AS size, NULL::BIGINT AS replication_factor, NULL::BOOLEAN AS disk FROM facts.clusters;
CREATE VIEW mz_catalog.mz_cluster_replicas AS SELECT '' AS id, '' AS name, '' AS cluster_id, '' AS size, '' AS availability_zone,
    '' AS owner_id, false AS disk WHERE false;
CREATE VIEW mz_catalog.mz_objects AS
    SELECT o.id, o.oid, 'u1' AS schema_id, o.name, o.type, 'u1' AS owner_id, c.id AS cluster_id, NULL::VARCHAR[] AS privileges
    FROM facts.objects AS o LEFT JOIN facts.clusters AS c ON c.name = o.cluster;
CREATE VIEW mz_catalog.mz_relations AS SELECT * FROM mz_catalog.mz_objects WHERE type IN ('table', 'source', 'view', 'materialized-view');
CREATE VIEW mz_catalog.mz_columns AS
    SELECT c.id, c.name, c.position, true AS nullable, c.type, NULL::VARCHAR AS "default",
        coalesce(t.oid, 3802) AS type_oid, -1 AS type_mod
    FROM facts.columns AS c JOIN mz_catalog.mz_relations AS o ON o.id = c.id LEFT JOIN facts.types AS t ON t.format = c.type;
CREATE VIEW mz_catalog.mz_views AS SELECT id, oid, 'u1' AS schema_id, name, definition, 'u1' AS owner_id,
    NULL::VARCHAR[] AS privileges, create_sql, create_sql AS redacted_create_sql FROM facts.objects WHERE type = 'view';
CREATE VIEW mz_catalog.mz_materialized_views AS SELECT o.id, o.oid, 'u1' AS schema_id, o.name, c.id AS cluster_id, o.definition, 'u1' AS owner_id,
    NULL::VARCHAR[] AS privileges, o.create_sql, o.create_sql AS redacted_create_sql
    FROM facts.objects AS o LEFT JOIN facts.clusters AS c ON c.name = o.cluster WHERE o.type = 'materialized-view';
CREATE VIEW mz_catalog.mz_tables AS SELECT id, oid, 'u1' AS schema_id, name, 'u1' AS owner_id, NULL::VARCHAR[] AS privileges, create_sql,
    create_sql AS redacted_create_sql, (SELECT min(referenced_object_id) FROM facts.dependencies WHERE object_id = id) AS source_id
    FROM facts.objects WHERE type = 'table';
CREATE VIEW mz_catalog.mz_sources AS SELECT o.id, o.oid, 'u1' AS schema_id, o.name, 'kafka' AS type, k.id AS connection_id, NULL::VARCHAR AS size,
    'none' AS envelope_type, o.key_format, 'json' AS value_format, c.id AS cluster_id, 'u1' AS owner_id,
    NULL::VARCHAR[] AS privileges, o.create_sql, o.create_sql AS redacted_create_sql
    FROM facts.objects AS o LEFT JOIN facts.clusters AS c ON c.name = o.cluster
    LEFT JOIN facts.objects AS k ON k.name = o.connection AND k.type = 'connection' WHERE o.type = 'source';
CREATE VIEW mz_catalog.mz_sinks AS SELECT o.id, o.oid, 'u1' AS schema_id, o.name, 'kafka' AS type, k.id AS connection_id, NULL::VARCHAR AS size,
    'upsert' AS envelope_type, NULL::VARCHAR AS format, coalesce(o.key_format, 'json') AS key_format, 'json' AS value_format, c.id AS cluster_id, 'u1' AS owner_id,
    o.create_sql, o.create_sql AS redacted_create_sql
    FROM facts.objects AS o LEFT JOIN facts.clusters AS c ON c.name = o.cluster
    LEFT JOIN facts.objects AS k ON k.name = o.connection AND k.type = 'connection' WHERE o.type = 'sink';
CREATE VIEW mz_catalog.mz_kafka_sources AS SELECT id, NULL::VARCHAR AS group_id_prefix, topic FROM facts.objects WHERE type = 'source';
CREATE VIEW mz_catalog.mz_kafka_sinks AS SELECT id, topic FROM facts.objects WHERE type = 'sink';
CREATE VIEW mz_catalog.mz_connections AS SELECT id, oid, 'u1' AS schema_id, name, 'kafka' AS type, 'u1' AS owner_id,
    NULL::VARCHAR[] AS privileges, create_sql, create_sql AS redacted_create_sql FROM facts.objects WHERE type = 'connection';
CREATE VIEW mz_catalog.mz_secrets AS SELECT id, oid, 'u1' AS schema_id, name, 'u1' AS owner_id, NULL::VARCHAR[] AS privileges
    FROM facts.objects WHERE type = 'secret';
CREATE VIEW mz_catalog.mz_indexes AS SELECT o.id, o.oid, o.name, r.id AS on_id, c.id AS cluster_id, 'u1' AS owner_id,
    o.create_sql, o.create_sql AS redacted_create_sql
    FROM facts.objects AS o JOIN facts.objects AS r ON r.name = o.on_name AND r.type <> 'index'
    LEFT JOIN facts.clusters AS c ON c.name = o.cluster WHERE o.type = 'index';
CREATE VIEW mz_catalog.mz_types AS SELECT 's' || oid AS id, oid, 's2' AS schema_id, name, NULL::VARCHAR AS category, 's1' AS owner_id,
    NULL::VARCHAR[] AS privileges, NULL::VARCHAR AS create_sql, NULL::VARCHAR AS redacted_create_sql FROM facts.types;

CREATE VIEW mz_internal.mz_comments AS SELECT * FROM facts.comments;
CREATE VIEW mz_internal.mz_object_dependencies AS SELECT * FROM facts.dependencies;

-- What SHOW shows, as mz_internal.mz_show_* in Materialize.
CREATE VIEW facts.shown AS SELECT o.*, coalesce(c.comment, '') AS comment
    FROM facts.objects AS o LEFT JOIN facts.comments AS c ON c.id = o.id AND c.object_type = o.type AND c.object_sub_id IS NULL;
CREATE VIEW mz_internal.mz_show_tables AS SELECT name, comment FROM facts.shown WHERE type = 'table';
CREATE VIEW mz_internal.mz_show_views AS SELECT name, comment FROM facts.shown WHERE type = 'view';
CREATE VIEW mz_internal.mz_show_materialized_views AS SELECT name, cluster, comment FROM facts.shown WHERE type = 'materialized-view';
CREATE VIEW mz_internal.mz_show_sources AS SELECT name, 'kafka' AS type, cluster, comment FROM facts.shown WHERE type = 'source';
CREATE VIEW mz_internal.mz_show_sinks AS SELECT name, 'kafka' AS type, cluster, comment FROM facts.shown WHERE type = 'sink';
CREATE VIEW mz_internal.mz_show_connections AS SELECT name, 'kafka' AS type, comment FROM facts.shown WHERE type = 'connection';
CREATE VIEW mz_internal.mz_show_secrets AS SELECT name, comment FROM facts.shown WHERE type = 'secret';
CREATE VIEW mz_internal.mz_show_indexes AS SELECT name, on_name AS "on", cluster, key, comment FROM facts.shown WHERE type = 'index';
CREATE VIEW mz_internal.mz_show_objects AS SELECT name, type, comment FROM facts.shown;
CREATE VIEW mz_internal.mz_show_columns AS SELECT c.id, o.name AS on_name, c.name, true AS nullable, c.type, c.position, coalesce(m.comment, '') AS comment
    FROM facts.columns AS c JOIN facts.objects AS o ON o.id = c.id LEFT JOIN facts.comments AS m ON m.id = c.id AND m.object_sub_id = c.position;
CREATE VIEW mz_internal.mz_show_clusters AS SELECT c.name, '' AS replicas, coalesce(m.comment, '') AS comment
    FROM facts.clusters AS c LEFT JOIN facts.comments AS m ON m.id = c.id AND m.object_type = 'cluster';
CREATE VIEW mz_internal.mz_show_schemas AS SELECT s.name, coalesce(m.comment, '') AS comment
    FROM facts.schemas AS s LEFT JOIN facts.comments AS m ON m.id = s.id AND m.object_type = 'schema';
CREATE VIEW mz_internal.mz_show_databases AS SELECT d.name, coalesce(m.comment, '') AS comment
    FROM mz_catalog.mz_databases AS d LEFT JOIN facts.comments AS m ON m.id = d.id AND m.object_type = 'database';

CREATE VIEW information.schemata AS SELECT 'materialize' AS catalog_name, name AS schema_name, 'materialize' AS schema_owner,
    NULL::VARCHAR AS default_character_set_catalog, NULL::VARCHAR AS default_character_set_schema,
    NULL::VARCHAR AS default_character_set_name, NULL::VARCHAR AS sql_path FROM facts.schemas;
CREATE VIEW information.tables AS SELECT 'materialize' AS table_catalog, 'public' AS table_schema, name AS table_name,
    CASE type WHEN 'materialized-view' THEN 'MATERIALIZED VIEW' WHEN 'table' THEN 'BASE TABLE' ELSE upper(type) END AS table_type,
    NULL::VARCHAR AS self_referencing_column_name, NULL::VARCHAR AS reference_generation, NULL::VARCHAR AS user_defined_type_catalog,
    NULL::VARCHAR AS user_defined_type_schema, NULL::VARCHAR AS user_defined_type_name, 'NO' AS is_insertable_into, 'NO' AS is_typed,
    NULL::VARCHAR AS commit_action FROM mz_catalog.mz_relations;
CREATE VIEW information.views AS SELECT 'materialize' AS table_catalog, 'public' AS table_schema, name AS table_name,
    definition AS view_definition, 'NONE' AS check_option, 'NO' AS is_updatable, 'NO' AS is_insertable_into
    FROM facts.objects WHERE type IN ('view', 'materialized-view');
CREATE VIEW information.columns AS SELECT 'materialize' AS table_catalog, 'public' AS table_schema, o.name AS table_name,
    c.name AS column_name, c.position AS ordinal_position, NULL::VARCHAR AS column_default, 'YES' AS is_nullable, c.type AS data_type,
    NULL::BIGINT AS character_maximum_length, NULL::BIGINT AS character_octet_length,
    CASE c.type WHEN 'bigint' THEN 64 WHEN 'double precision' THEN 53 END AS numeric_precision,
    CASE c.type WHEN 'bigint' THEN 2 WHEN 'double precision' THEN 2 WHEN 'numeric' THEN 10 END AS numeric_precision_radix,
    CASE c.type WHEN 'bigint' THEN 0 END AS numeric_scale,
    CASE c.type WHEN 'timestamp without time zone' THEN 6 END AS datetime_precision,
    NULL::VARCHAR AS interval_type, NULL::VARCHAR AS character_set_name, NULL::VARCHAR AS collation_name, NULL::VARCHAR AS domain_name,
    'materialize' AS udt_catalog, 'pg_catalog' AS udt_schema, coalesce(t.name, 'jsonb') AS udt_name, c.position::VARCHAR AS dtd_identifier,
    'NO' AS is_identity, NULL::VARCHAR AS identity_generation, 'NEVER' AS is_generated, NULL::VARCHAR AS generation_expression, 'NO' AS is_updatable
    FROM facts.columns AS c JOIN mz_catalog.mz_relations AS o ON o.id = c.id LEFT JOIN facts.types AS t ON t.format = c.type;
CREATE VIEW information.enabled_roles AS SELECT 'materialize' AS role_name;
CREATE VIEW information.applicable_roles AS SELECT '' AS grantee, '' AS role_name, '' AS is_grantable WHERE false;
CREATE VIEW information.character_sets AS SELECT NULL::VARCHAR AS character_set_catalog, NULL::VARCHAR AS character_set_schema,
    'UTF8' AS character_set_name, 'UCS' AS character_repertoire, 'UTF8' AS form_of_use, 'materialize' AS default_collate_catalog,
    'pg_catalog' AS default_collate_schema, 'en_US.utf8' AS default_collate_name;
-- Nothing here has constraints, routines or triggers.
CREATE VIEW information.table_constraints AS SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS table_catalog,
    '' AS table_schema, '' AS table_name, '' AS constraint_type, '' AS is_deferrable, '' AS initially_deferred, '' AS enforced,
    '' AS nulls_distinct WHERE false;
CREATE VIEW information.key_column_usage AS SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS table_catalog,
    '' AS table_schema, '' AS table_name, '' AS column_name, 0 AS ordinal_position, 0 AS position_in_unique_constraint WHERE false;
CREATE VIEW information.constraint_column_usage AS SELECT '' AS table_catalog, '' AS table_schema, '' AS table_name, '' AS column_name,
    '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name WHERE false;
CREATE VIEW information.referential_constraints AS SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name,
    '' AS unique_constraint_catalog, '' AS unique_constraint_schema, '' AS unique_constraint_name, '' AS match_option, '' AS update_rule,
    '' AS delete_rule WHERE false;
CREATE VIEW information.routines AS SELECT '' AS routine_catalog, '' AS routine_schema, '' AS routine_name, '' AS routine_type,
    '' AS routine_definition WHERE false;
CREATE VIEW information.triggers AS SELECT '' AS trigger_catalog, '' AS trigger_schema, '' AS trigger_name, '' AS event_manipulation,
    '' AS event_object_catalog, '' AS event_object_schema, '' AS event_object_table WHERE false;
CREATE VIEW information.table_privileges AS SELECT 'materialize' AS grantor, 'materialize' AS grantee, 'materialize' AS table_catalog,
    'public' AS table_schema, name AS table_name, 'SELECT' AS privilege_type, 'NO' AS is_grantable, 'YES' AS with_hierarchy FROM mz_catalog.mz_relations;

CREATE VIEW postgres.pg_namespace AS SELECT oid, name AS nspname, 10 AS nspowner, NULL::VARCHAR[] AS nspacl FROM facts.schemas;
CREATE VIEW postgres.pg_database AS SELECT 20000 AS oid, 'materialize' AS datname, 10 AS datdba, 6 AS encoding, 'c' AS datlocprovider,
    false AS datistemplate, true AS datallowconn, -1 AS datconnlimit, 'C' AS datcollate, 'C' AS datctype, NULL::VARCHAR AS daticulocale, NULL::VARCHAR[] AS datacl, 0 AS dattablespace;
CREATE VIEW postgres.pg_roles AS SELECT 10 AS oid, 'materialize' AS rolname, false AS rolsuper, true AS rolinherit, false AS rolcreaterole,
    false AS rolcreatedb, true AS rolcanlogin, false AS rolreplication, -1 AS rolconnlimit, NULL::VARCHAR AS rolpassword,
    NULL::TIMESTAMP AS rolvaliduntil, false AS rolbypassrls, NULL::VARCHAR[] AS rolconfig;
CREATE VIEW postgres.pg_authid AS SELECT * FROM postgres.pg_roles;
CREATE VIEW postgres.pg_user AS SELECT 'materialize' AS usename, 10 AS usesysid, false AS usecreatedb, false AS usesuper, false AS userepl,
    false AS usebypassrls, NULL::VARCHAR AS passwd, NULL::TIMESTAMP AS valuntil, NULL::VARCHAR[] AS useconfig;
CREATE VIEW postgres.pg_group AS SELECT '' AS groname, 0 AS grosysid, NULL::BIGINT[] AS grolist WHERE false;
CREATE VIEW postgres.pg_auth_members AS SELECT 0 AS roleid, 0 AS member, 0 AS grantor, false AS admin_option WHERE false;
CREATE VIEW postgres.pg_class AS SELECT o.oid, o.name AS relname, 2200 AS relnamespace, 0 AS reltype, 0 AS reloftype, 10 AS relowner,
    CASE o.type WHEN 'index' THEN 1 ELSE 0 END AS relam, 0 AS relfilenode, 0 AS reltablespace, 0 AS relpages, -1.0::DOUBLE AS reltuples, 0 AS relallvisible, 0 AS reltoastrelid,
    EXISTS (SELECT 1 FROM facts.objects AS i WHERE i.type = 'index' AND i.on_name = o.name) AS relhasindex,
    false AS relisshared, 'p' AS relpersistence,
    CASE o.type WHEN 'view' THEN 'v' WHEN 'materialized-view' THEN 'm' WHEN 'index' THEN 'i' ELSE 'r' END AS relkind,
    (SELECT count(*) FROM facts.columns AS c WHERE c.id = o.id) AS relnatts,
    0 AS relchecks, false AS relhasoids, false AS relhaspkey, false AS relhasrules, false AS relhastriggers, false AS relhassubclass,
    false AS relrowsecurity, false AS relforcerowsecurity, true AS relispopulated, 'n' AS relreplident, false AS relispartition,
    0 AS relfrozenxid, 0 AS relminmxid, ['materialize=r/materialize'] AS relacl, NULL::VARCHAR[] AS reloptions, NULL::VARCHAR AS relpartbound
    FROM facts.objects AS o WHERE o.type IN ('table', 'source', 'view', 'materialized-view', 'index');
CREATE VIEW postgres.pg_attribute AS SELECT o.oid AS attrelid, c.name AS attname, coalesce(t.oid, 3802) AS atttypid, -1 AS attstattarget,
    coalesce(t.length, -1) AS attlen, c.position AS attnum, 0 AS attndims, -1 AS attcacheoff, -1 AS atttypmod, false AS attbyval,
    'p' AS attstorage, '' AS attcompression, 'i' AS attalign, false AS attnotnull, false AS atthasdef, false AS atthasmissing,
    '' AS attidentity, '' AS attgenerated, false AS attisdropped, true AS attislocal, 0 AS attinhcount, 0 AS attcollation,
    NULL::VARCHAR[] AS attacl, NULL::VARCHAR[] AS attoptions, NULL::VARCHAR[] AS attfdwoptions, NULL::VARCHAR AS attmissingval
    FROM facts.columns AS c JOIN facts.objects AS o ON o.id = c.id LEFT JOIN facts.types AS t ON t.format = c.type;
CREATE VIEW postgres.pg_type AS
    SELECT oid, name AS typname, 11 AS typnamespace, 10 AS typowner, length AS typlen, length > 0 AS typbyval, 'b' AS typtype,
        category AS typcategory, false AS typispreferred, true AS typisdefined, ',' AS typdelim, 0 AS typrelid, 0 AS typelem,
        array_oid AS typarray, name || '_in' AS typinput, name || '_out' AS typoutput, name || '_recv' AS typreceive, 'i' AS typalign,
        'p' AS typstorage, false AS typnotnull, 0 AS typbasetype, -1 AS typtypmod, 0 AS typndims, 0 AS typcollation,
        NULL::VARCHAR AS typdefault, NULL::VARCHAR[] AS typacl FROM facts.types
    UNION ALL
    SELECT array_oid, '_' || name, 11, 10, -1, false, 'b', 'A', false, true, ',', 0, oid, 0, 'array_in', 'array_out', 'array_recv', 'i',
        'x', false, 0, -1, 0, 0, NULL, NULL FROM facts.types;
CREATE VIEW postgres.pg_index AS SELECT i.oid AS indexrelid, r.oid AS indrelid, len(i.key) AS indnatts, len(i.key) AS indnkeyatts,
    false AS indisunique, false AS indnullsnotdistinct, false AS indisprimary, false AS indisexclusion, true AS indimmediate, false AS indisclustered,
    true AS indisvalid, false AS indcheckxmin, true AS indisready, true AS indislive, false AS indisreplident,
    i.key_positions::SMALLINT[] AS indkey,
    [0::SMALLINT FOR k IN i.key] AS indcollation, [0::SMALLINT FOR k IN i.key] AS indclass, [0::SMALLINT FOR k IN i.key] AS indoption,
    NULL::VARCHAR AS indexprs, NULL::VARCHAR AS indpred
    FROM facts.objects AS i JOIN facts.objects AS r ON r.name = i.on_name AND r.type <> 'index' WHERE i.type = 'index';
CREATE VIEW postgres.pg_indexes AS SELECT 'public' AS schemaname, on_name AS tablename, name AS indexname, NULL::VARCHAR AS tablespace,
    create_sql AS indexdef FROM facts.objects WHERE type = 'index';
CREATE VIEW postgres.pg_tables AS SELECT 'public' AS schemaname, name AS tablename, 'materialize' AS tableowner, NULL::VARCHAR AS tablespace,
    false AS hasindexes, false AS hasrules, false AS hastriggers, false AS rowsecurity FROM facts.objects WHERE type IN ('table', 'source');
CREATE VIEW postgres.pg_views AS SELECT 'public' AS schemaname, name AS viewname, 'materialize' AS viewowner, definition
    FROM facts.objects WHERE type = 'view';
CREATE VIEW postgres.pg_matviews AS SELECT 'public' AS schemaname, name AS matviewname, 'materialize' AS matviewowner, NULL::VARCHAR AS tablespace,
    false AS hasindexes, true AS ispopulated, definition FROM facts.objects WHERE type = 'materialized-view';
CREATE VIEW postgres.pg_description AS SELECT o.oid AS objoid, 1259 AS classoid, coalesce(c.object_sub_id, 0) AS objsubid, c.comment AS description
    FROM facts.comments AS c JOIN facts.objects AS o ON o.id = c.id;
CREATE VIEW postgres.pg_shdescription AS SELECT 0 AS objoid, 0 AS classoid, '' AS description WHERE false;
CREATE VIEW postgres.pg_settings AS SELECT name, setting, NULL::VARCHAR AS unit, '' AS category, '' AS short_desc, setting AS boot_val,
    setting AS reset_val, 'default' AS source, 'user' AS context, 'string' AS vartype FROM facts.settings;
CREATE VIEW postgres.pg_am AS SELECT 1 AS oid, 'arrangement' AS amname, '' AS amhandler, 'i' AS amtype;
CREATE VIEW postgres.pg_attrdef AS SELECT 0 AS oid, 0 AS adrelid, 0 AS adnum, '' AS adbin, '' AS adsrc WHERE false;
CREATE VIEW postgres.pg_collation AS SELECT 0 AS oid, '' AS collname, 0 AS collnamespace, 0 AS collowner, '' AS collprovider,
    true AS collisdeterministic, 0 AS collencoding, '' AS collcollate, '' AS collctype WHERE false;
CREATE VIEW postgres.pg_constraint AS SELECT 0 AS oid, '' AS conname, 0 AS connamespace, '' AS contype, false AS condeferrable, false AS condeferred,
    true AS convalidated, 0 AS conrelid, 0 AS contypid, 0 AS conindid, 0 AS conparentid, 0 AS confrelid, '' AS confupdtype, '' AS confdeltype,
    '' AS confmatchtype, true AS conislocal, 0 AS coninhcount, false AS connoinherit, NULL::BIGINT[] AS conkey, NULL::BIGINT[] AS confkey,
    NULL::BIGINT[] AS conpfeqop, NULL::BIGINT[] AS conexclop, '' AS conbin, '' AS consrc WHERE false;
CREATE VIEW postgres.pg_depend AS SELECT 0 AS classid, 0 AS objid, 0 AS objsubid, 0 AS refclassid, 0 AS refobjid, 0 AS refobjsubid, '' AS deptype WHERE false;
CREATE VIEW postgres.pg_enum AS SELECT 0 AS oid, 0 AS enumtypid, 0.0::DOUBLE AS enumsortorder, '' AS enumlabel WHERE false;
CREATE VIEW postgres.pg_event_trigger AS SELECT 0 AS oid, '' AS evtname WHERE false;
CREATE VIEW postgres.pg_extension AS SELECT 0 AS oid, '' AS extname, 0 AS extowner, 0 AS extnamespace, false AS extrelocatable, '' AS extversion WHERE false;
CREATE VIEW postgres.pg_foreign_server AS SELECT 0 AS oid, '' AS srvname, 0 AS srvowner, 0 AS srvfdw WHERE false;
CREATE VIEW postgres.pg_foreign_table AS SELECT 0 AS ftrelid, 0 AS ftserver, NULL::VARCHAR[] AS ftoptions WHERE false;
CREATE VIEW postgres.pg_inherits AS SELECT 0 AS inhrelid, 0 AS inhparent, 0 AS inhseqno, false AS inhdetachpending WHERE false;
CREATE VIEW postgres.pg_language AS SELECT 0 AS oid, '' AS lanname WHERE false;
CREATE VIEW postgres.pg_locks AS SELECT '' AS locktype, 0 AS "database", 0 AS relation, 0 AS pid, '' AS mode, false AS granted WHERE false;
CREATE VIEW postgres.pg_opclass AS SELECT 0 AS oid, '' AS opcname, 0 AS opcnamespace, 0 AS opcmethod, false AS opcdefault WHERE false;
CREATE VIEW postgres.pg_partitioned_table AS SELECT 0 AS partrelid, '' AS partstrat WHERE false;
CREATE VIEW postgres.pg_policy AS SELECT 0 AS oid, '' AS polname, 0 AS polrelid, '' AS polcmd, false AS polpermissive, NULL::BIGINT[] AS polroles,
    '' AS polqual, '' AS polwithcheck WHERE false;
CREATE VIEW postgres.pg_prepared_statements AS SELECT '' AS name, '' AS "statement" WHERE false;
CREATE VIEW postgres.pg_proc AS SELECT 0 AS oid, '' AS proname, 0 AS pronamespace, 0 AS proowner, 0 AS prolang, '' AS prokind, false AS proisagg,
    false AS proretset, 0 AS prorettype, 0 AS pronargs, NULL::BIGINT[] AS proargtypes, NULL::VARCHAR[] AS proargnames, '' AS prosrc WHERE false;
CREATE VIEW postgres.pg_publication AS SELECT 0 AS oid, '' AS pubname, false AS puballtables WHERE false;
CREATE VIEW postgres.pg_publication_namespace AS SELECT 0 AS oid, 0 AS pnpubid, 0 AS pnnspid WHERE false;
CREATE VIEW postgres.pg_publication_rel AS SELECT 0 AS oid, 0 AS prpubid, 0 AS prrelid, '' AS prqual, NULL::BIGINT[] AS prattrs WHERE false;
CREATE VIEW postgres.pg_range AS SELECT 0 AS rngtypid, 0 AS rngsubtype, 0 AS rngmultitypid WHERE false;
CREATE VIEW postgres.pg_rewrite AS SELECT 0 AS oid, '' AS rulename, 0 AS ev_class, '' AS ev_type, '' AS ev_enabled WHERE false;
CREATE VIEW postgres.pg_rules AS SELECT '' AS schemaname, '' AS tablename, '' AS rulename, '' AS definition WHERE false;
CREATE VIEW postgres.pg_sequence AS SELECT 0 AS seqrelid, 0 AS seqtypid, 0 AS seqstart, 0 AS seqincrement, 0 AS seqmax, 0 AS seqmin, 0 AS seqcache, false AS seqcycle WHERE false;
CREATE VIEW postgres.pg_sequences AS SELECT '' AS schemaname, '' AS sequencename WHERE false;
CREATE VIEW postgres.pg_stat_activity AS SELECT 0 AS datid, '' AS datname, 0 AS pid, '' AS usename, '' AS application_name, '' AS state, '' AS query WHERE false;
CREATE VIEW postgres.pg_stat_user_tables AS SELECT 0 AS relid, '' AS schemaname, '' AS relname, 0 AS n_live_tup WHERE false;
CREATE VIEW postgres.pg_statistic_ext AS SELECT 0 AS oid, 0 AS stxrelid, 0 AS stxnamespace, '' AS stxname, NULL::VARCHAR[] AS stxkind, 0 AS stxstattarget, NULL::BIGINT[] AS stxkeys WHERE false;
CREATE VIEW postgres.pg_tablespace AS SELECT 0 AS oid, '' AS spcname, 0 AS spcowner WHERE false;
CREATE VIEW postgres.pg_trigger AS SELECT 0 AS oid, 0 AS tgrelid, '' AS tgname, 0 AS tgfoid, 0 AS tgtype, '' AS tgenabled, false AS tgisinternal,
    0 AS tgconstraint, 0 AS tgparentid, false AS tgdeferrable, false AS tginitdeferred WHERE false;

-- Functions. A parameter ends in two underscores: a macro's must not be mistaken
-- for a column.
CREATE MACRO postgres.version() AS 'PostgreSQL 15.0 on the stand-in for Materialize of tripcast';
CREATE MACRO postgres.mz_version() AS 'v0.0.0 (the stand-in of tripcast)';
CREATE MACRO postgres.current_setting
    (name__) AS coalesce((SELECT min(setting) FROM facts.settings WHERE name = lower(name__)), error('unrecognized configuration parameter "' || name__ || '"')),
    (name__, missing__) AS (SELECT min(setting) FROM facts.settings WHERE name = lower(name__));
CREATE MACRO postgres.set_config(name__, value__, local__) AS value__;
CREATE MACRO postgres.current_schemas(implicit__) AS CASE WHEN implicit__ THEN ['mz_catalog', 'pg_catalog', 'public'] ELSE ['public'] END;
CREATE MACRO postgres.pg_get_userbyid(role__) AS CASE WHEN role__ = 10 THEN 'materialize' ELSE 'unknown (OID=' || role__ || ')' END;
CREATE MACRO postgres.pg_table_is_visible(oid__) AS oid__ IS NOT NULL;
CREATE MACRO postgres.pg_type_is_visible(oid__) AS oid__ IS NOT NULL;
CREATE MACRO postgres.pg_function_is_visible(oid__) AS oid__ IS NOT NULL;
CREATE MACRO postgres.format_type(oid__, mod__) AS CASE WHEN oid__ IS NULL THEN NULL ELSE coalesce(
    (SELECT min(format) FROM facts.types WHERE oid = oid__), (SELECT min(format) || '[]' FROM facts.types WHERE array_oid = oid__), '???') END;
CREATE MACRO postgres.obj_description
    (oid__) AS (SELECT min(description) FROM postgres.pg_description WHERE objoid = oid__ AND objsubid = 0),
    (oid__, class__) AS (SELECT min(description) FROM postgres.pg_description WHERE objoid = oid__ AND objsubid = 0 AND class__ = 'pg_class');
CREATE MACRO postgres.col_description(oid__, column__) AS (SELECT min(description) FROM postgres.pg_description WHERE objoid = oid__ AND objsubid = column__ AND objsubid > 0);
CREATE MACRO postgres.shobj_description(oid__, class__) AS NULL::VARCHAR;
CREATE MACRO postgres.quote_ident(name__) AS CASE WHEN regexp_full_match(name__, '[a-z_][a-z0-9_$]*') THEN name__ ELSE '"' || replace(name__, '"', '""') || '"' END;
CREATE MACRO postgres.quote_literal(text__) AS '''' || replace(text__::VARCHAR, '''', '''''') || '''';
CREATE MACRO postgres.has_database_privilege (what__, privilege__) AS true, (who__, what__, privilege__) AS true;
CREATE MACRO postgres.has_schema_privilege (what__, privilege__) AS lower(privilege__) = 'usage', (who__, what__, privilege__) AS lower(privilege__) = 'usage';
CREATE MACRO postgres.has_table_privilege (what__, privilege__) AS contains(lower(privilege__), 'select'), (who__, what__, privilege__) AS contains(lower(privilege__), 'select');
CREATE MACRO postgres.has_any_column_privilege (what__, privilege__) AS contains(lower(privilege__), 'select'), (who__, what__, privilege__) AS contains(lower(privilege__), 'select');
CREATE MACRO postgres.has_column_privilege (what__, column__, privilege__) AS contains(lower(privilege__), 'select'), (who__, what__, column__, privilege__) AS contains(lower(privilege__), 'select');
CREATE MACRO postgres.pg_has_role (role__, privilege__) AS true, (who__, role__, privilege__) AS true;
CREATE MACRO postgres.pg_get_viewdef (oid__) AS (SELECT min(definition) FROM facts.objects WHERE oid = oid__), (oid__, pretty__) AS (SELECT min(definition) FROM facts.objects WHERE oid = oid__);
CREATE MACRO postgres.pg_get_indexdef (oid__) AS (SELECT min(create_sql) FROM facts.objects WHERE oid = oid__),
    (oid__, column__, pretty__) AS CASE WHEN column__ = 0 THEN (SELECT min(create_sql) FROM facts.objects WHERE oid = oid__) ELSE (SELECT min(key[column__]) FROM facts.objects WHERE oid = oid__) END;
CREATE MACRO postgres.pg_get_expr (expression__, oid__) AS NULL::VARCHAR, (expression__, oid__, pretty__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_get_constraintdef (oid__) AS NULL::VARCHAR, (oid__, pretty__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_get_triggerdef (oid__) AS NULL::VARCHAR, (oid__, pretty__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_get_ruledef (oid__) AS NULL::VARCHAR, (oid__, pretty__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_get_partkeydef(oid__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_get_function_result(oid__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_get_function_arguments(oid__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_get_function_identity_arguments(oid__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_get_serial_sequence(table__, column__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_encoding_to_char(encoding__) AS 'UTF8';
CREATE MACRO postgres.pg_is_in_recovery() AS false;
CREATE MACRO postgres.pg_relation_size(oid__) AS NULL::BIGINT;
CREATE MACRO postgres.pg_table_size(oid__) AS NULL::BIGINT;
CREATE MACRO postgres.pg_database_size(name__) AS NULL::BIGINT;
CREATE MACRO postgres.pg_size_pretty(size__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_total_relation_size(oid__) AS NULL::BIGINT;
CREATE MACRO postgres.pg_get_statisticsobjdef_columns(oid__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_relation_is_publishable(oid__) AS false;
CREATE MACRO postgres.pg_get_partition_constraintdef(oid__) AS NULL::VARCHAR;
CREATE MACRO postgres.pg_tablespace_location(oid__) AS NULL::VARCHAR;
CREATE MACRO postgres.array_upper(array__, dimension__) AS CASE WHEN dimension__ = 1 THEN nullif(len(array__), 0) END;
CREATE MACRO postgres.array_lower(array__, dimension__) AS CASE WHEN dimension__ = 1 AND len(array__) > 0 THEN 1 END;
CREATE MACRO postgres.array_remove(array__, element__) AS list_filter(array__, lambda e__: e__ IS DISTINCT FROM element__);
CREATE MACRO information._pg_expandarray(array__) AS unnest(list_transform(array__, lambda e__, n__: {'x': e__, 'n': n__}));
-- What ::regclass, ::regtype and ::regnamespace become: a literal names, an OID is shown.
CREATE MACRO postgres.to_regclass(name__) AS coalesce(TRY_CAST(name__ AS BIGINT),
    CASE regexp_replace(replace(lower(name__), '"', ''), '^pg_catalog\.', '') WHEN 'pg_class' THEN 1259 WHEN 'pg_type' THEN 1247 WHEN 'pg_attribute' THEN 1249
        WHEN 'pg_proc' THEN 1255 WHEN 'pg_namespace' THEN 2615 WHEN 'pg_database' THEN 1262 WHEN 'pg_constraint' THEN 2606 WHEN 'pg_description' THEN 2609
        WHEN 'pg_trigger' THEN 2620 WHEN 'pg_rewrite' THEN 2618 WHEN 'pg_index' THEN 2610 WHEN 'pg_authid' THEN 1260 WHEN 'pg_am' THEN 2601
        WHEN 'pg_extension' THEN 3079 WHEN 'pg_tablespace' THEN 1213 WHEN 'pg_language' THEN 2612 WHEN 'pg_enum' THEN 3501 END,
    (SELECT min(oid) FROM facts.objects WHERE type IN ('table', 'source', 'view', 'materialized-view', 'index')
        AND name = regexp_replace(replace(name__, '"', ''), '^(materialize\.)?public\.', '')));
CREATE MACRO postgres.regclass(name__) AS coalesce(postgres.to_regclass(name__), CASE WHEN name__ IS NOT NULL THEN error('relation "' || name__ || '" does not exist') END::BIGINT);
CREATE MACRO postgres.regclass_name(oid__) AS coalesce((SELECT min(name) FROM facts.objects WHERE oid = oid__), oid__::VARCHAR);
CREATE MACRO postgres.to_regtype(name__) AS coalesce(TRY_CAST(name__ AS BIGINT), (SELECT min(oid) FROM postgres.pg_type
    WHERE typname = regexp_replace(lower(name__), '^pg_catalog\.', '') OR postgres.format_type(oid, NULL) = lower(name__)));
CREATE MACRO postgres.regtype(name__) AS coalesce(postgres.to_regtype(name__), CASE WHEN name__ IS NOT NULL THEN error('type "' || name__ || '" does not exist') END::BIGINT);
CREATE MACRO postgres.to_regnamespace(name__) AS coalesce(TRY_CAST(name__ AS BIGINT), (SELECT min(oid) FROM facts.schemas WHERE name = name__));
CREATE MACRO postgres.regnamespace(name__) AS coalesce(postgres.to_regnamespace(name__), CASE WHEN name__ IS NOT NULL THEN error('schema "' || name__ || '" does not exist') END::BIGINT);
CREATE MACRO postgres.regnamespace_name(oid__) AS coalesce((SELECT min(name) FROM facts.schemas WHERE oid = oid__), oid__::VARCHAR);
