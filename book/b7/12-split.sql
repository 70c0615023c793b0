-- A column cut in two: what stands before the first comma, and the city.
SELECT DISTINCT split_part(start_location_name, ', ', 1) AS place, split_part(start_location_name, ', ', 2) AS city
FROM "trips.clean"
ORDER BY place;
