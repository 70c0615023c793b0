SELECT trip_id, lower(trim(rider)) AS rider, km FROM trips
