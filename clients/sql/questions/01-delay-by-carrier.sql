-- How late does each airline leave on average?
SELECT a.name, count(*) AS flights, avg(f.dep_delay) AS delay, max(f.dep_delay) AS longest
FROM flights f JOIN airlines a ON a.carrier = f.carrier
GROUP BY a.name
ORDER BY delay DESC;
