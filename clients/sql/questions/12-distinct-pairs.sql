-- Destinations that can be reached from only one of the three airports, with the airlines that go there.
SELECT dest, min(origin) AS origin, count(DISTINCT carrier) AS airlines, count(*) AS flights
FROM flights
GROUP BY dest
HAVING count(DISTINCT origin) = 1
ORDER BY flights DESC, dest;
