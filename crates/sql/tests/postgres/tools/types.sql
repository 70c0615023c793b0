-- Types: by number and name, arrays and their items.
-- Each query stands for a construct that the tools in brackets need; then how many rows there are, or what the first one is.

-- all columns, and what a type is based on [DBeaver] => +
SELECT format_type(nullif(kind.typbasetype, 0), kind.typtypmod), kind.*, rel.relkind, kind.oid FROM pg_catalog.pg_class AS rel
RIGHT JOIN pg_catalog.pg_type AS kind ON rel.oid = kind.typrelid WHERE 'c' = rel.relkind OR rel.relkind IS NULL;

-- the category of an array's items [DBeaver] => _text|S
SELECT kind.typname, item.typcategory FROM pg_catalog.pg_type AS kind LEFT JOIN pg_catalog.pg_type AS item ON kind.typelem = item.oid
WHERE (item.typcategory <> 'C' OR item.typcategory IS NULL) AND kind.oid = 1009;

-- enumerations and their labels [DBeaver, Metabase] => 0
SELECT kind.typname, label.enumlabel FROM pg_type AS kind, pg_catalog.pg_enum AS label
WHERE label.enumtypid = kind.oid AND kind.oid IN (SELECT DISTINCT enumtypid FROM pg_enum) ORDER BY label.enumsortorder;

-- by name and schema [asyncpg, pgjdbc] => 23|0|b
SELECT kind.oid, kind.typelem, kind.typtype FROM pg_catalog.pg_namespace AS place
INNER JOIN pg_catalog.pg_type AS kind ON kind.typnamespace = place.oid WHERE place.nspname = 'pg_catalog' AND kind.typname = 'int4';

-- whether a type is an array: a function as a literal [pgjdbc] => t|f
SELECT bool_or(typinput = 'pg_catalog.array_in'::regproc), bool_and('pg_catalog.array_in'::regproc = typinput)
FROM pg_catalog.pg_type WHERE oid IN (23, 1009);

-- the places of schemas in the path: an item by a number that is a column [pgjdbc] => 1|public
SELECT spot.n, (current_schemas(false))[spot.n] FROM generate_series(1, array_upper(current_schemas(false), 1)) AS spot(n);

-- these joined by USING, two subqueries deep [pgjdbc] => int4|NULL
SELECT kind.typname, near.n FROM pg_catalog.pg_type AS kind LEFT JOIN (SELECT place.oid, found.n FROM pg_namespace AS place
JOIN (SELECT (current_schemas(false))[spot.n] AS nspname, spot.n FROM generate_series(1, 3) AS spot(n)) AS found USING (nspname)) AS near
ON kind.typnamespace = near.oid WHERE kind.typname = 'int4' ORDER BY near.n;

-- whether a schema is in the path, as a value and as a condition [pgjdbc] => t|1007
SELECT place.nspname = ANY(current_schemas(true)), kind.typarray FROM pg_catalog.pg_type AS kind JOIN pg_catalog.pg_namespace AS place
ON place.oid = kind.typnamespace WHERE (false OR place.nspname = ANY (current_schemas(true)) AND true) AND kind.typname = 'int4';

-- the items of an array, and what is between them [pgjdbc] => int4|,
SELECT item.typname, item.typdelim FROM pg_catalog.pg_type AS item, pg_catalog.pg_type AS list
WHERE item.oid = list.typelem AND list.typname = '_int4';

-- numbers as an array that is a literal, and their names [asyncpg] => bigint|bigint[]
SELECT min(oid::regtype::text), max(oid::regtype::text) FROM pg_type WHERE oid = any('{20,1016}'::oid[]);

-- what ranges are of, and multiranges [asyncpg] => int4|NULL
SELECT kind.typname, coalesce(many.rngsubtype, one.rngsubtype) FROM pg_type AS kind LEFT JOIN pg_range AS many ON many.rngmultitypid = kind.oid
LEFT JOIN pg_range AS one ON one.rngtypid = kind.oid WHERE kind.typname = 'int4';

-- the base of a domain: a recursive query in a value [asyncpg] => int4|NULL
SELECT kind.typname, CASE WHEN kind.typtype = 'd' THEN (WITH RECURSIVE down(oid, step) AS (SELECT kind.typbasetype, 1
 UNION ALL SELECT under.typbasetype, step + 1 FROM down, pg_type AS under WHERE under.oid = down.oid)
 SELECT oid FROM down LIMIT 1) ELSE NULL END FROM pg_type AS kind WHERE kind.typname = 'int4';

-- a list's items, one below the other [asyncpg] => 20|int8
WITH RECURSIVE walk(oid, below, step) AS (SELECT t.oid, t.typelem, 0 FROM pg_type AS t WHERE t.oid = any('{1016}'::oid[])
UNION ALL SELECT t.oid, t.typelem, step + 1 FROM walk, pg_type AS t WHERE walk.below = t.oid)
SELECT DISTINCT walk.oid, t.typname FROM walk JOIN pg_type AS t ON t.oid = walk.oid ORDER BY t.typname DESC;

-- what a driver that reads binary has to be told the types of [asyncpg] => 1
SELECT kind.oid, kind.typname, kind.typtype, kind.typelem::regtype::text AS named,
CASE WHEN kind.typtype = 'd' THEN (SELECT under.oid FROM pg_type AS under LIMIT 1) ELSE NULL END AS base,
CASE WHEN kind.typtype = 'c' THEN (SELECT array_agg(part.atttypid ORDER BY part.attnum) FROM pg_attribute AS part
 WHERE NOT part.attisdropped AND part.attrelid = kind.typrelid) ELSE NULL END AS kinds,
CASE WHEN kind.typtype = 'c' THEN (SELECT array_agg(part.attname::text ORDER BY part.attnum) FROM pg_attribute AS part
 WHERE NOT part.attisdropped AND part.attrelid = kind.typrelid) ELSE NULL END AS names
FROM pg_type AS kind WHERE kind.oid = 1016;
