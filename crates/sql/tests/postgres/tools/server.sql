-- What a tool asks about the server and its settings.
-- Each query stands for a construct that the tools in brackets need; then how many rows there are, or what the first one is.

-- anything at all [Grafana] => 1
SELECT 1;

-- the database [DBeaver] => watertable
SELECT current_database() AS here;

-- flags as conditions, and a column twice in the output [DBeaver] => 1
SELECT base.*, base.oid FROM pg_catalog.pg_database AS base
WHERE base.datname = 'watertable' OR NOT base.datistemplate AND base.datallowconn ORDER BY base.encoding;

-- there are no templates [DBeaver] => 0
SELECT oid FROM pg_catalog.pg_database WHERE datistemplate;

-- the size of a database [DBeaver] => NULL
SELECT pg_database_size(oid) FROM pg_catalog.pg_database;

-- the version as text [DBeaver] => t
SELECT version() LIKE 'PostgreSQL%';

-- the version as a number [Grafana] => 16
SELECT current_setting('server_version_num')::int / 10000;

-- whether a table, and a column, is there: conditions that no row fulfils [DBeaver, Metabase] => 0
SELECT typcategory FROM pg_catalog.pg_type WHERE 2 <> 2 LIMIT 1;

-- the same of a topic, with LIMIT 0 [Metabase] => 0
SELECT true AS "it is" FROM "public"."flights" WHERE 2 <> 2 LIMIT 0;

-- who, and in which schema [DBeaver] => tester|public
SELECT session_user, current_schema();

-- all settings [DBeaver] => +
SELECT * FROM pg_catalog.pg_settings;

-- one setting [DBeaver] => on
SELECT setting FROM pg_catalog.pg_settings WHERE name = 'standard_conforming_strings';

-- an extension by its name [Grafana] => 0
SELECT oid, extversion FROM pg_extension WHERE 'timescaledb' = extname;

-- roles with their comments [DBeaver] => tester
SELECT who.rolname FROM pg_catalog.pg_shdescription AS said RIGHT JOIN pg_catalog.pg_roles AS who ON said.objoid = who.oid;

-- members of roles [DBeaver] => 0
SELECT * FROM pg_catalog.pg_auth_members WHERE member <> 10 OR roleid = 10;

-- sessions [DBeaver] => 1
SELECT * FROM pg_catalog.pg_stat_activity;

-- words of the dialect, without those of an array [pgjdbc] => 1
SELECT length(string_agg(word, ' ')) > 100 FROM pg_catalog.pg_get_keywords() WHERE word <> ALL ('{select,from}'::text[]);
