-- Records of one key lie in one partition, in the order in which they were written.
SELECT account, min(_partition) AS first, max(_partition) AS last, count(*) AS transactions, sum(amount) AS balance
FROM transactions
GROUP BY account
ORDER BY account;
