-- Which routes are flown most?
SELECT f.origin, f.dest, p.name, count(*) AS flights, avg(f.distance) AS miles
FROM flights f LEFT JOIN airports p ON p.faa = f.dest
GROUP BY f.origin, f.dest, p.name
ORDER BY flights DESC, f.origin, f.dest
LIMIT 10;
