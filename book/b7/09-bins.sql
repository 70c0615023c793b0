-- Ten bins of the same width.
WITH ends AS (SELECT min(trip_id) AS least, max(trip_id) + 1 AS most FROM "trips.clean")
SELECT width_bucket(trip_id, least, most, 10) AS bin, count(*) AS trips, min(trip_id) AS first, max(trip_id) AS last
FROM "trips.clean", ends
GROUP BY bin
ORDER BY bin;
