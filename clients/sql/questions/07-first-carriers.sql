-- The three largest airlines of each airport, with their shares.
WITH counted AS (
  SELECT origin, carrier, count(*) AS flights FROM flights GROUP BY origin, carrier
), ranked AS (
  SELECT origin, carrier, flights,
         row_number() OVER (PARTITION BY origin ORDER BY flights DESC, carrier) AS place,
         100.0 * flights / sum(flights) OVER (PARTITION BY origin) AS percent
  FROM counted
)
SELECT origin, place, carrier, flights, percent FROM ranked WHERE place <= 3 ORDER BY origin, place;
