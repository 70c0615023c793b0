-- At what hour of the day should one fly from which airport?
SELECT origin, hour, count(dep_delay) AS flown, avg(dep_delay) AS delay
FROM flights
GROUP BY origin, hour
ORDER BY origin, hour;
