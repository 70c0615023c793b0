-- Schemas, and kinds of objects that there are few or none of.
-- Each query stands for a construct that the tools in brackets need; then how many rows there are, or what the first one is.

-- schemas with comments, found by the class of what is commented on [DBeaver] => +
SELECT place.*, said.description, place.oid FROM pg_catalog.pg_namespace AS place
LEFT JOIN pg_catalog.pg_description AS said ON said.classoid = 'pg_namespace'::regclass AND said.objsubid = 0 AND said.objoid = place.oid;

-- schemas in the standard's words, without some [Grafana] => public
SELECT schema_name AS place FROM information_schema.schemata
WHERE schema_name NOT IN ('sys', 'pg_toast', 'pg_catalog', 'information_schema');

-- schemas without those of the system by LIKE [Grafana] => public
SELECT schema_name FROM information_schema.schemata
WHERE schema_name != 'information_schema' AND schema_name NOT LIKE 'pg_%' ORDER BY 1;

-- methods of access, and the place of tablespaces [DBeaver] => 1
SELECT way.amname, spot.spcname, pg_tablespace_location(spot.oid) FROM pg_catalog.pg_am AS way, pg_catalog.pg_tablespace AS spot
WHERE spot.spcname = 'pg_default';

-- names of encodings, grouped, in the order of the second column [DBeaver] => 0
SELECT max(conname), pg_catalog.pg_encoding_to_char(contoencoding) FROM pg_catalog.pg_conversion GROUP BY contoencoding ORDER BY 2;

-- collations, languages and foreign servers with all their columns [DBeaver] => 0
SELECT one.*, two.*, three.* FROM pg_catalog.pg_collation one, pg_catalog.pg_language two, pg_catalog.pg_foreign_server three;

-- handlers of foreign data [DBeaver] => 0
SELECT f.pronamespace, w.fdwname FROM pg_catalog.pg_foreign_data_wrapper w LEFT JOIN pg_catalog.pg_proc f ON w.fdwhandler = f.oid;

-- extensions that could be installed [DBeaver] => 0
SELECT comment, installed_version, default_version, name FROM pg_catalog.pg_available_extensions;

-- an array as rows beside its own table, put together again in groups, joined [DBeaver] => 0
SELECT ext.*, held.names FROM pg_catalog.pg_extension AS ext LEFT JOIN
(SELECT each.owner, array_agg(rel.relname || '!') AS names
 FROM (SELECT oid AS owner, unnest(extconfig) AS item FROM pg_catalog.pg_extension) AS each
 JOIN pg_class AS rel ON each.item = rel.oid GROUP BY each.owner) AS held ON ext.oid = held.owner;

-- triggers of events, by a column in quotes [DBeaver] => 0
SELECT happens.* FROM pg_catalog.pg_event_trigger AS happens WHERE happens."oid" IN (SELECT objoid FROM pg_catalog.pg_description);

-- aggregates and their functions [DBeaver] => 0
SELECT f.proname, agg.* FROM pg_catalog.pg_proc AS f, pg_catalog.pg_aggregate AS agg WHERE agg.aggfnoid = f.oid AND f.pronamespace = 11;

-- functions with the defaults of their arguments [DBeaver] => 0
SELECT f.*, f.oid, pg_catalog.pg_get_expr(f.proargdefaults, 0) FROM pg_catalog.pg_proc AS f
LEFT JOIN pg_catalog.pg_description AS said ON said.classoid = 'pg_proc'::regclass AND said.objoid = f.oid WHERE f.pronamespace = 2200;

-- functions by what is in their definition [DBeaver] => 0
SELECT DISTINCT f.* FROM pg_catalog.pg_proc AS f WHERE f.prokind NOT IN ('a', 'w') AND pg_get_functiondef(f."oid") ILIKE '%begin%';

-- triggers, and the schemas of their functions [DBeaver] => 0
SELECT f.pronamespace, fires.* FROM pg_catalog.pg_trigger AS fires LEFT JOIN pg_catalog.pg_proc AS f ON fires.tgfoid = f.oid
WHERE NOT fires.tgisinternal AND fires.tgrelid = 7;

-- rules by a name that is a literal of type name [DBeaver] => 0
SELECT pg_get_ruledef(rule.oid), rule.* FROM pg_rewrite AS rule WHERE 'x'::name <> rule.rulename AND rule.ev_class = 7;

-- sequences [DBeaver] => 0
SELECT * FROM pg_catalog.pg_sequences WHERE sequencename = 'none' AND schemaname = 'public';
