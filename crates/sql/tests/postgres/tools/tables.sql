-- Tables: which there are, of which kind, with what is said of them.
-- Each query stands for a construct that the tools in brackets need; then how many rows there are, or what the first one is.

-- all columns of pg_class, and what partitions have [DBeaver] => 2
SELECT pg_catalog.pg_get_partkeydef(rel.oid), rel.*, pg_catalog.pg_get_expr(rel.relpartbound, rel.oid), rel.oid
FROM pg_catalog.pg_class AS rel WHERE rel.relkind NOT IN ('c', 'i', 'I') AND rel.relnamespace = 2200;

-- comments on tables, found by the class of what is commented on [DBeaver, Metabase] => 2
SELECT "rel"."relname", "said"."description" FROM "pg_catalog"."pg_class" AS "rel" LEFT JOIN "pg_catalog"."pg_description" AS "said"
ON ("said"."classoid" = 'pg_class'::regclass) AND ("said"."objsubid" = 0) AND ("said"."objoid" = "rel"."oid")
WHERE ("rel"."relnamespace" = 2200);

-- what a kind is called, joined with the schema, without those of the system by a pattern [Metabase] => flights|table
SELECT "rel"."relname", CASE rel.relkind WHEN 'v' THEN 'view' WHEN 'r' THEN 'table' ELSE NULL END AS "what"
FROM "pg_catalog"."pg_namespace" AS "place" INNER JOIN "pg_catalog"."pg_class" AS "rel" ON "place"."oid" = "rel"."relnamespace"
WHERE ("place"."nspname" !~ '^(pg_|sys)') AND ("place"."nspname" <> 'information_schema') AND ("place"."nspname" IN ('public'))
ORDER BY "what" ASC, "rel"."relname" DESC;

-- estimated numbers of rows, joined by two names [Metabase] => 2
SELECT "rel"."relname", "guess"."n_live_tup" FROM "pg_catalog"."pg_class" AS "rel" LEFT JOIN "pg_stat_user_tables" AS "guess"
ON ("guess"."relname" = "rel"."relname") AND ("guess"."schemaname" = 'public') WHERE "rel"."relnamespace" = 2200;

-- names with quotes where SQL needs them [Grafana] => "Odd-Topic.1"
SELECT quote_ident(table_name) AS "name" FROM information_schema.tables WHERE 'public' = quote_ident(table_schema) ORDER BY 1;

-- tables in the standard's words [Grafana] => Odd-Topic.1
SELECT table_name FROM information_schema.tables WHERE table_type IN ('VIEW', 'BASE TABLE') AND table_schema = 'public' ORDER BY 1;

-- by a piece of the name or of the comment [DBeaver] => flights
SELECT rel.relname FROM pg_catalog.pg_class AS rel
WHERE (obj_description(rel.oid, 'pg_class') ILIKE '%LIGH%' OR rel.relname ILIKE '%LIGH%') AND rel.relnamespace IN (2200) LIMIT 5;

-- sizes of all, and of one by its number [DBeaver] => NULL|NULL|NULL
SELECT pg_catalog.pg_relation_size(oid), pg_catalog.pg_total_relation_size(oid), pg_catalog.pg_relation_size(7)
FROM pg_class WHERE relnamespace = 2200;

-- the definition of a view [DBeaver] => 1
SELECT pg_get_viewdef(7, true) AS "text of it";

-- comments by names, joined without aliases [DBeaver] => 0
SELECT pg_namespace.nspname, description FROM pg_catalog.pg_namespace JOIN pg_catalog.pg_class ON pg_namespace.oid = pg_class.relnamespace
JOIN pg_catalog.pg_description ON pg_class.oid = pg_description.objoid WHERE pg_class.relname = 'flights';

-- what inherits from what: a table twice in FROM, with commas [DBeaver] => 0
SELECT child.relname, parent.relname, tie.* FROM pg_class AS child, pg_class AS parent, pg_catalog.pg_inherits AS tie
WHERE tie.inhparent = parent.oid AND tie.inhrelid = child.oid ORDER BY tie.inhseqno;
