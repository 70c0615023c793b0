-- Two columns of the first five rows.
SELECT trip_id, duration_s FROM "trips.clean" ORDER BY trip_id LIMIT 5;
