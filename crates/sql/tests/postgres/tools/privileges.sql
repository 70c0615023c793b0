-- Who may do what.
-- Each query stands for a construct that the tools in brackets need; then how many rows there are, or what the first one is.

-- privileges on tables in the standard's words [DBeaver] => INSERT
SELECT privilege_type FROM information_schema.table_privileges WHERE table_name = 'flights' AND grantee = 'tester'
AND table_catalog = 'watertable' ORDER BY privilege_type;

-- privileges on routines [DBeaver] => 0
SELECT * FROM information_schema.routine_privileges WHERE grantee = 'tester' AND specific_catalog = 'watertable';

-- default privileges, all and those of a role [DBeaver] => 0
SELECT DISTINCT d.* FROM (SELECT (aclexplode(defaclacl)).grantee AS whose, * FROM pg_default_acl) AS d
WHERE d.whose = 10 AND d.defaclnamespace IN (0, 2200);

-- lists of privileges of two tables, one row for each of them [DBeaver] => 0
SELECT * FROM (SELECT DISTINCT relname AS what, relkind AS kind, (aclexplode(relacl)).grantee AS whose FROM pg_class
WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg_%') AND relacl IS NOT NULL
UNION ALL SELECT DISTINCT nspname, CAST('N' AS "char"), (aclexplode(nspacl)).grantee FROM pg_catalog.pg_namespace
WHERE nspacl IS NOT NULL) AS each WHERE each.kind IN ('N', 'S') AND each.whose = 10;

-- privileges by a name that is put together [Metabase] => flights|t|t|f
WITH one AS (SELECT tablename AS named, '"' || replace(schemaname, '"', '""') || '"."' || replace(tablename, '"', '""') || '"' AS path
 FROM pg_catalog.pg_tables WHERE schemaname !~ '^pg_' AND pg_catalog.has_schema_privilege(current_user, schemaname, 'usage'))
SELECT named, pg_catalog.has_any_column_privilege(current_user, path, 'select') AS select,
pg_catalog.has_any_column_privilege(current_user, path, 'insert') AS insert,
pg_catalog.has_table_privilege(current_user, path, 'delete') AS delete FROM one WHERE named = 'flights';

-- tables, views and materialized views in one list, with a column of NULL [Metabase] => NULL|flights
SELECT NULL AS role, every.named FROM (SELECT matviewname AS named FROM pg_catalog.pg_matviews UNION
SELECT viewname FROM pg_catalog.pg_views UNION SELECT tablename FROM pg_catalog.pg_tables) AS every WHERE every.named LIKE 'fl%';
