-- How often is each value there, and what share is that? NULL is a value like others.
SELECT end_location_name, count(*) AS trips,
       CAST(100.0 * count(*) / sum(count(*)) OVER () AS decimal(5, 2)) AS percent
FROM "trips.clean"
GROUP BY end_location_name
ORDER BY trips DESC, end_location_name;
