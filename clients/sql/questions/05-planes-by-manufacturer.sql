-- Whose planes fly most, how old are they, and how fast?
SELECT p.manufacturer, count(DISTINCT p.tailnum) AS planes, count(*) AS flights,
       avg(2013 - p.year) AS age, avg(f.distance / f.air_time * 60) AS mph
FROM flights f JOIN planes p USING (tailnum)
WHERE f.air_time > 0
GROUP BY p.manufacturer
HAVING count(*) >= 100
ORDER BY flights DESC, p.manufacturer;
