-- How are delays spread?
SELECT CAST(floor(dep_delay / 15) AS int) * 15 AS minutes, count(*) AS flights,
       min(distance) AS shortest, max(distance) AS longest
FROM flights
WHERE dep_delay BETWEEN -15 AND 300
GROUP BY 1
ORDER BY 1;
