-- Another name for a column.
SELECT trip_id AS id, duration_s AS seconds FROM "trips.clean" ORDER BY id DESC LIMIT 3;
