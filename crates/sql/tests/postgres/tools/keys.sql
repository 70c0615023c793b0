-- Constraints and indexes, which there are none of.
-- Each query stands for a construct that the tools in brackets need; then how many rows there are, or what the first one is.

-- constraints with both tables, and the text of a check [DBeaver] => 0
SELECT rule.*, near.relname, far.relnamespace, CASE WHEN rule.contype = 'c' THEN "substring"(pg_get_constraintdef(rule.oid), 7) END
FROM pg_catalog.pg_class AS near INNER JOIN pg_catalog.pg_constraint AS rule ON rule.conrelid = near.oid
LEFT JOIN pg_catalog.pg_class AS far ON rule.confrelid = far.oid WHERE near.relnamespace = 2200;

-- constraints with comments, found by the class of what is commented on [DBeaver] => 0
SELECT said.description FROM pg_catalog.pg_constraint AS rule LEFT JOIN pg_catalog.pg_description AS said
ON said.classoid = 'pg_constraint'::regclass AND said.objoid = rule.oid AND said.objsubid = 0 WHERE rule.conname ILIKE '%key%';

-- the text of a constraint beside its name [DBeaver] => 0
SELECT concat(pg_catalog.pg_get_constraintdef(oid, true), ' is ', conname) FROM pg_catalog.pg_constraint WHERE contypid = 7;

-- schemas from which a table is referred to [DBeaver] => 0
SELECT DISTINCT rule.connamespace FROM pg_catalog.pg_constraint AS rule WHERE rule.confrelid = 7;

-- columns of a foreign key: items of arrays that are columns, a kind that is a char [Metabase] => 0
SELECT "far"."attname" AS "to-what", "near"."attname" AS "from-what" FROM "pg_constraint" AS "rule"
INNER JOIN "pg_attribute" AS "far" ON "far"."attrelid" = "rule"."confrelid"
INNER JOIN "pg_attribute" AS "near" ON "near"."attrelid" = "rule"."conrelid"
WHERE ("far"."attnum" = ANY(rule.confkey)) AND ("near"."attnum" = ANY(rule.conkey)) AND ("rule"."contype" = 'f'::char);

-- primary keys in the standard's words, joined as a subquery [Metabase] => 16
SELECT "c"."column_name", "k"."column_name" IS NOT NULL AS "key?" FROM "information_schema"."columns" AS "c" LEFT JOIN
(SELECT "u".* FROM "information_schema"."key_column_usage" AS "u" INNER JOIN "information_schema"."table_constraints" AS "t"
 ON ("u"."table_name" = "t"."table_name") AND ("u"."constraint_name" = "t"."constraint_name")
 WHERE 'PRIMARY KEY' = "t"."constraint_type") AS "k"
ON ("k"."column_name" = "c"."column_name") AND ("k"."table_name" = "c"."table_name") WHERE "c"."table_name" = 'flights';

-- indexes with expressions, sizes and uses [DBeaver] => 0
SELECT own.relname, ix.*, ix.indkey, pg_catalog.pg_stat_get_numscans(ix.indexrelid), pg_catalog.pg_relation_size(ix.indexrelid),
pg_catalog.pg_get_expr(ix.indexprs, ix.indrelid, true), pg_catalog.pg_get_expr(ix.indpred, ix.indrelid)
FROM pg_catalog.pg_class AS own INNER JOIN pg_catalog.pg_index AS ix ON ix.indexrelid = own.oid;

-- a field of a set of composite values in a subquery, and the name of an index's column [Metabase, pgjdbc] => 0
SELECT TRIM(BOTH '"' FROM PG_CATALOG.PG_GET_INDEXDEF("one"."number", "one"."place", FALSE)) AS "named" FROM
(SELECT (INFORMATION_SCHEMA._PG_EXPANDARRAY("ix"."indkey")).n AS "place", "ix"."indexrelid" AS "number"
 FROM "pg_catalog"."pg_index" AS "ix" WHERE (PG_CATALOG.PG_GET_EXPR("ix"."indpred", "ix"."indrelid") IS NULL)) AS "one"
WHERE "one"."place" = 1;
