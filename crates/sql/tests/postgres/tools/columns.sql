-- Columns, and what tools compute of them.
-- Each query stands for a construct that the tools in brackets need; then how many rows there are, or what the first one is.

-- defaults: joined by two columns, as text in the long form of pg_get_expr [DBeaver] => _topic|NULL
SELECT col.attname, pg_catalog.pg_get_expr(preset.adbin, preset.adrelid, true) FROM pg_catalog.pg_class AS rel
INNER JOIN pg_catalog.pg_attribute AS col ON rel.oid = col.attrelid
LEFT JOIN pg_catalog.pg_attrdef AS preset ON preset.adnum = col.attnum AND preset.adrelid = col.attrelid
WHERE rel.relname = 'flights' AND NOT col.attisdropped ORDER BY col.attnum;

-- what depends on a column, in the join's condition alone [DBeaver] => 16
SELECT col.*, tie.objid FROM pg_catalog.pg_attribute AS col LEFT JOIN pg_depend AS tie ON tie.refobjsubid = col.attnum
AND tie.refclassid = tie.classid AND tie.deptype = 'i' AND tie.refobjid = col.attrelid WHERE col.attrelid = 'flights'::regclass;

-- comments on columns, by number [DBeaver] => 16
SELECT said.description FROM pg_catalog.pg_attribute AS col LEFT JOIN pg_catalog.pg_description AS said
ON col.attnum = said.objsubid AND col.attrelid = said.objoid WHERE col.attrelid = 'flights'::regclass;

-- search by a piece of the name, tables with a comma [DBeaver] => carrier
SELECT col.attname FROM pg_catalog.pg_class AS rel, pg_catalog.pg_attribute AS col
WHERE col.attname ILIKE '%ARRIE%' AND col.attnum >= 1 AND col.attrelid = rel.oid LIMIT 3;

-- in the standard's words, with precision and scale [Grafana] => fare|numeric|numeric|10|2
SELECT column_name, data_type, udt_name, numeric_precision, numeric_scale FROM information_schema.columns
WHERE table_name = 'flights' AND numeric_scale > 0;

-- the name of a type with its schema if it has another one [Metabase] => int8
SELECT CASE WHEN "col"."udt_schema" IN ('pg_catalog', 'public') THEN FORMAT('%s', "col"."udt_name")
ELSE FORMAT('"%s"."%s"', "col"."udt_schema", "col"."udt_name") END FROM "information_schema"."columns" AS "col"
WHERE "col"."column_name" = 'id';

-- the comment on a column, by a name that is put together and cast twice [Metabase] => NULL
SELECT COL_DESCRIPTION(CAST(CAST(FORMAT('%I.%I', "table_schema", CAST("table_name" AS TEXT)) AS REGCLASS) AS OID), "ordinal_position")
FROM "information_schema"."columns" WHERE "table_schema" = 'public';

-- whether a value must be given, or is counted up [Metabase] => t|f|0
SELECT ("is_nullable" = 'NO') AND (("column_default" IS NULL) OR (LOWER("column_default") = 'null')),
("is_identity" <> 'NO') OR (("column_default" IS NOT NULL) AND ("column_default" LIKE '%next%')), "ordinal_position" - 1
FROM "information_schema"."columns" WHERE "table_name" = 'flights' AND "ordinal_position" = 1;

-- which schemas are left out, as a pattern with choices [Metabase] => 16
SELECT one.column_name FROM "information_schema"."columns" AS one
WHERE one.table_schema !~ '^pg_|nothing|information_schema' AND ("one"."table_name" = 'flights');

-- columns of two kinds of tables in one list, with flags and NULL for what one has not [Metabase] => 25
SELECT "c"."column_name" AS "what-is", "c"."ordinal_position" IS NULL AS "odd?" FROM "information_schema"."columns" AS "c"
WHERE "c"."table_schema" = 'public' UNION ALL SELECT "a"."attname", FALSE FROM "pg_catalog"."pg_attribute" AS "a"
INNER JOIN "pg_catalog"."pg_class" AS "r" ON "r"."oid" = "a"."attrelid" WHERE ("r"."relkind" = 'm') ORDER BY "what-is" ASC;

-- a table by its name, with a schema or without [Grafana] => t|f
SELECT array_length(parse_ident('public.flights'), 1) = 2, array_length(parse_ident('flights'), 1) = 2;

-- a condition that depends on how the name is written [Grafana] => 16
SELECT column_name FROM information_schema.columns WHERE CASE WHEN array_length(parse_ident('public.flights'), 1) < 2 THEN false
ELSE (parse_ident('public.flights'))[2] = quote_ident(table_name) AND quote_ident(table_schema) = (parse_ident('public.flights'))[1] END;

-- the schemas that are searched, one by one: functions in FROM, an item by a computed number [Grafana, pgjdbc] => public
SELECT CASE WHEN trim(part[n]) = '"$user"' THEN user ELSE trim(part[n]) END AS "place"
FROM string_to_array(current_setting('search_path'), ',') part,
generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1),
 array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS n ORDER BY "place";

-- whether a schema is one of them: IN inside of CASE, in the list and in the order [Grafana] => flights|1
SELECT table_name, CASE WHEN table_schema IN (SELECT trim(p[k]) FROM generate_series(1, 2) AS k,
string_to_array(current_setting('search_path'), ',') p) THEN 1 ELSE 2 END AS "near" FROM information_schema.tables
ORDER BY CASE WHEN table_schema IN (SELECT trim(p[k]) FROM generate_series(1, 2) AS k,
string_to_array(current_setting('search_path'), ',') p) THEN 1 ELSE 2 END, table_name DESC;
