-- Rows in which nothing is missing, beside all rows.
SELECT count(*) FILTER (WHERE duration_s IS NOT NULL AND end_location_name IS NOT NULL) AS complete, count(*) AS trips
FROM "trips.clean";
