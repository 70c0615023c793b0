-- How many trips of more than an hour began at one place, and when did the first of them?
SELECT count(*) AS trips, min(started_at) AS first
FROM "trips.clean"
WHERE street = 'Central and Tingley' AND duration_s > 3600;
