-- Rows of topics: series, groups and pages, as dashboards and notebooks ask for them.
-- Each query stands for a construct that the tools in brackets need; then how many rows there are, or what the first one is.

-- a page, and the whole, of a table that is named in three ways [DBeaver, Metabase] => 2
SELECT page."id", page.*, "public"."flights"."carrier" FROM public.flights AS page, "public"."flights"
WHERE page.id = "public"."flights"."id" LIMIT 1048575;

-- how many there are [DBeaver] => 2
SELECT count(*) FROM public.flights;

-- a range of times that are texts, $__timeFilter [Grafana] => UA
SELECT carrier FROM flights WHERE at BETWEEN '2013-01-01T00:00:00Z' AND '2013-01-31T23:59:59.999Z';

-- steps of time as numbers, $__timeGroup [Grafana] => 1357034400|2.5
SELECT floor(extract(epoch from at)/3600)*3600 AS "step", min(delay) FROM flights GROUP BY 1 ORDER BY "step";

-- steps of less than a second, and a second name that is grouped by [Grafana] => 2
SELECT floor(extract(epoch from at)/0.25)*0.25 AS "step", carrier AS "line", count(*) AS "height"
FROM flights GROUP BY "line", "step" ORDER BY 2, 1;

-- a time as a number, $__timeEpoch [Grafana] => 2
SELECT carrier, extract(epoch from at) AS "step" FROM flights;

-- steps of numbers, $__unixEpochFilter and $__unixEpochGroup [Grafana] => 0|2
SELECT floor((id)/30)*30 AS "step", count(*) FROM flights WHERE id <= 1999999999 AND id >= 1 GROUP BY "step";

-- the same of records' own time [Grafana] => 2
SELECT sum(one.n)::bigint FROM (SELECT floor(extract(epoch from _timestamp)/60)*60 AS "step", count(*) AS n FROM flights
WHERE _timestamp BETWEEN '2013-01-01T00:00:00Z' AND '2099-01-01T00:00:00Z' GROUP BY 1) AS one;

-- a step as a time again [Grafana] => 2
SELECT to_timestamp(floor(extract(epoch from at)/900)*900) AS "step" FROM flights GROUP BY "step";

-- steps by date_bin, in a time zone [Grafana] => 2
SELECT date_bin('6 hours', at, TIMESTAMP '2000-01-01') AS "step", max(at AT TIME ZONE 'UTC') FROM flights GROUP BY 1;

-- steps by date_trunc, between two bounds [Grafana, Metabase] => 2013-02-01 00:00:00+00|1
SELECT DATE_TRUNC('month', f."at"), COUNT(*) FROM flights AS f WHERE f.at <= '2013-12-01T00:00:00Z' AND f.at >= '2013-01-01T00:00:00Z'
GROUP BY DATE_TRUNC('month', f."at") ORDER BY DATE_TRUNC('month', f."at") DESC;

-- the first hundred of each column, one below the other [Grafana] => 4
SELECT 'a' AS "of", one."carrier"::text FROM (SELECT DISTINCT "carrier" FROM flights WHERE "carrier" IS NOT NULL ORDER BY 1 LIMIT 100) one
UNION ALL SELECT 'b', two."id"::text FROM (SELECT DISTINCT "id" FROM flights ORDER BY "id" LIMIT 100) two;

-- choices: in a list of texts, and a text in dollars [Grafana] => it's|UA
SELECT DISTINCT $$it's$$ AS __text, carrier AS __value FROM flights WHERE carrier IN ('XX', 'UA') LIMIT 3;

-- days, and a span before now [Metabase] => 0
SELECT CAST(f."at" AS date), SUM(f."delay") FROM flights AS f WHERE (f."at" < DATE_TRUNC('day', NOW()))
AND (f."at" >= (DATE_TRUNC('day', NOW()) + INTERVAL '-7 day')) GROUP BY CAST(f."at" AS date) ORDER BY CAST(f."at" AS date) ASC;

-- weeks that begin on another day [Metabase] => 2
SELECT DISTINCT (CAST(DATE_TRUNC('week', (f."at" + INTERVAL '2 day')) AS timestamp) + INTERVAL '-2 day') FROM flights AS f;

-- days of the week [Metabase] => 3
SELECT CAST(EXTRACT(dow FROM f."at") AS integer) + 1 FROM flights AS f WHERE f.id = 1;

-- medians and deviations of groups [Metabase] => 2
SELECT COUNT(DISTINCT f."carrier"), STDDEV_POP(f."delay"), PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY f."delay")
FROM flights AS f GROUP BY f."id";

-- the beginning of a text, and its length [Metabase] => UA|2
SELECT SUBSTRING(f."carrier", 1, 500), LENGTH(f."carrier") FROM flights AS f ORDER BY f."id" LIMIT 1;

-- how many groups there are [Metabase] => 2
SELECT COUNT(*) FROM (SELECT f."carrier" FROM flights AS f GROUP BY 1) AS "all of them";

-- bins of a width [Metabase] => -30|1
SELECT FLOOR((f."delay" / 5.0)) * 5.0, COUNT(*) FROM flights AS f GROUP BY 1 ORDER BY 1;
