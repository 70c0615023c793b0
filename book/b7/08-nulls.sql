-- How many values are missing in each column that can miss one?
SELECT count(*) - count(month) AS month, count(*) - count(started_at) AS started_at, count(*) - count(ended_at) AS ended_at,
       count(*) - count(duration_s) AS duration_s, count(*) - count(start_location_name) AS start_location_name,
       count(*) - count(end_location_name) AS end_location_name, count(*) - count(user_id) AS user_id
FROM "trips.clean";
