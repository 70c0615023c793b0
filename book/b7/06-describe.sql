-- Count, mean, deviation, least, quarters and most of a column.
SELECT count(duration_s) AS count,
       CAST(avg(duration_s) AS decimal(12, 3)) AS mean,
       CAST(stddev(duration_s) AS decimal(12, 3)) AS std,
       min(duration_s) AS min,
       CAST(percentile_cont(0.25) WITHIN GROUP (ORDER BY duration_s) AS decimal(12, 3)) AS "25%",
       CAST(percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS decimal(12, 3)) AS "50%",
       CAST(percentile_cont(0.75) WITHIN GROUP (ORDER BY duration_s) AS decimal(12, 3)) AS "75%",
       max(duration_s) AS max
FROM "trips.clean";
