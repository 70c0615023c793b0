-- The latest arrivals, and what they made up in the air.
SELECT time_hour, carrier, flight, origin, dest, dep_delay, arr_delay, dep_delay - arr_delay AS made_up
FROM flights
WHERE arr_delay IS NOT NULL
ORDER BY arr_delay DESC, time_hour, flight
LIMIT 10;
