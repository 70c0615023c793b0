SELECT id, status, concat(lat, ',', lng) AS coords, split_part(created_at, 'T', 1) AS opendate
FROM pages
