-- Rows 35 to 40, counted from 0.
SELECT trip_id, started_at, street FROM "trips.clean" ORDER BY trip_id OFFSET 35 LIMIT 6;
