-- A value where there is none: the first three trips that do not know where they ended.
SELECT trip_id, coalesce(end_location_name, 'unknown') AS end_location
FROM "trips.clean"
WHERE end_location_name IS NULL
ORDER BY trip_id
LIMIT 3;
