//! `pg_catalog` and `information_schema` as clients ask them.

use crate::fixture::Fixture;
use crate::writable::Writable;

#[tokio::test]
async fn relations_have_numbers_that_hold_over_sessions() {
    let fixture = Fixture::start().await;
    let mut one = fixture.client().await;
    let mut other = fixture.client().await;
    let oid = one
        .value("SELECT oid FROM pg_class WHERE relname = 'flights'")
        .await;
    assert_eq!(other.value("SELECT 'flights'::regclass::oid").await, oid);
    assert_eq!(
        other
            .value("SELECT 'public.\"Odd-Topic.1\"'::regclass IS NULL")
            .await,
        "f"
    );
    assert_eq!(
        other.value(&format!("SELECT {oid}::regclass")).await,
        "flights"
    );
    assert_eq!(
        other
            .value(&format!(
                "SELECT count(*) FROM pg_attribute WHERE attrelid = '{oid}' AND attnum > 0"
            ))
            .await,
        "8"
    );
}

#[tokio::test]
async fn functions_answer_for_the_session() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let rows = client.rows("SELECT current_database(), current_schema(), current_user, session_user, current_catalog, pg_catalog.version()").await;
    assert_eq!(
        rows[0][..5],
        ["watertable", "public", "tester", "tester", "watertable"]
    );
    assert!(rows[0][5].starts_with("PostgreSQL 16.0 (Watertable "));
    let process = i32::from_be_bytes(client.key[..4].try_into().unwrap());
    assert_eq!(
        client.value("SELECT pg_backend_pid()").await,
        process.to_string()
    );
    for (sql, value) in [
        ("SELECT current_schemas(true)", "{pg_catalog,public}"),
        ("SELECT format_type(1184, -1)", "timestamp with time zone"),
        ("SELECT has_table_privilege('flights', 'SELECT')", "t"),
        ("SELECT has_table_privilege('flights', 'INSERT')", "f"),
        ("SELECT obj_description(1, 'pg_class')", "NULL"),
        ("SELECT pg_get_userbyid(10)", "tester"),
        ("SELECT pg_encoding_to_char(6)", "UTF8"),
        ("SELECT quote_ident('a b')", "\"a b\""),
        ("SELECT pg_size_pretty(123456789)", "118 MB"),
        ("SELECT 'int8'::regtype::oid", "20"),
        ("SELECT pg_is_in_recovery()", "f"),
        ("SELECT current_setting('nothing', true)", "NULL"),
        (
            "SELECT format('%I.%s %L', 'a b', 1, 'it''s')",
            "\"a b\".1 'it''s'",
        ),
        ("SELECT parse_ident('Public.\"Odd\"')", "{public,Odd}"),
        ("SELECT (parse_ident('public.flights'))[2]", "flights"),
        ("SELECT array_upper(ARRAY['a', 'b'], 1)", "2"),
        ("SELECT array_lower(ARRAY['a', 'b'], 1)", "1"),
        ("SELECT array_upper(ARRAY['a', 'b'], 2)", "NULL"),
        ("SELECT '{a,\"b,c\",NULL}'::text[]", "{a,\"b,c\",NULL}"),
        ("SELECT 'pg_catalog.array_in'::regproc", "array_in"),
        (
            "SELECT CAST(CAST(format('%I', 'flights') AS regclass) AS oid) = 'flights'::regclass::oid",
            "t",
        ),
        (
            "SELECT count(*) FROM pg_class WHERE tableoid = 'pg_catalog.pg_class'::regclass AND relname = 'flights'",
            "1",
        ),
        ("SELECT g FROM generate_series(5, 5) g", "5"),
    ] {
        assert_eq!(client.value(sql).await, value, "{sql}");
    }
    for (sql, state) in [
        ("SELECT current_setting('nothing')", "42704"),
        ("SELECT 'nothing'::regproc::oid", "42883"),
        ("SELECT '{a'::text[]", "22P02"),
        ("SELECT parse_ident('a b')", "22023"),
    ] {
        assert_eq!(client.state(sql).await, state, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn privileges_say_that_topics_can_be_appended_to_where_they_can() {
    let server = Writable::start().await;
    let mut client = server.client().await;
    client.tag("CREATE TABLE t (n numeric(7,3), x text)").await;
    for (sql, value) in [
        ("SELECT has_table_privilege('t', 'INSERT')", "t"),
        (
            "SELECT has_table_privilege(oid, 'INSERT') FROM pg_class WHERE relname = 't'",
            "t",
        ),
        (
            "SELECT has_any_column_privilege(current_user, 'public.t', 'insert')",
            "t",
        ),
        ("SELECT has_table_privilege('t', 'DELETE')", "f"),
        (
            "SELECT has_table_privilege('pg_catalog.pg_class', 'INSERT')",
            "f",
        ),
        ("SELECT has_schema_privilege('public', 'CREATE')", "t"),
        ("SELECT has_schema_privilege('pg_catalog', 'CREATE')", "f"),
        (
            "SELECT is_insertable_into FROM information_schema.tables WHERE table_name = 't'",
            "YES",
        ),
        (
            "SELECT string_agg(privilege_type, ',' ORDER BY privilege_type) FROM information_schema.table_privileges WHERE table_name = 't'",
            "INSERT,SELECT",
        ),
    ] {
        assert_eq!(client.value(sql).await, value, "{sql}");
    }
    let sql = "SELECT numeric_precision, numeric_scale, character_octet_length FROM information_schema.columns WHERE table_name = 't' AND column_name IN ('n', 'x') ORDER BY ordinal_position";
    assert_eq!(
        client.rows(sql).await,
        [["7", "3", "NULL"], ["NULL", "NULL", "1073741824"]]
    );
}

#[tokio::test]
async fn lists_show_topics_and_nothing_else() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let sql = "SELECT n.nspname, c.relname, c.relkind FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r','p','') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2";
    let rows = client.rows(sql).await;
    let names: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(names, ["Odd-Topic.1", "flights", "numbers"]);
    let sql =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1";
    assert_eq!(client.rows(sql).await.len(), 4);
    let sql = "SELECT column_name FROM information_schema.columns WHERE table_name = 'flights' ORDER BY ordinal_position";
    assert_eq!(client.rows(sql).await[1], ["carrier"]);
    let sql = "SELECT data_type, udt_name FROM information_schema.columns WHERE table_name = 'flights' AND column_name = 'at'";
    assert_eq!(
        client.rows(sql).await,
        [["timestamp with time zone", "timestamptz"]]
    );
    let sql = "SELECT schema_name FROM information_schema.schemata ORDER BY 1";
    assert_eq!(
        client.rows(sql).await,
        [["information_schema"], ["pg_catalog"], ["public"]]
    );
    assert!(client.rows("SELECT word FROM pg_catalog.pg_get_keywords() WHERE word <> ALL ('{select}'::text[])").await.len() > 100);
}

#[tokio::test]
async fn a_setting_that_a_function_set_holds_from_the_next_statement_on() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(
        client
            .value("SELECT set_config('TimeZone', 'Asia/Tokyo', false)")
            .await,
        "Asia/Tokyo"
    );
    assert_eq!(
        client.value("SELECT at FROM flights WHERE id = 1").await,
        "2013-01-01 19:00:00+09"
    );
    assert_eq!(
        client
            .value("SELECT '2013-01-01 19:00:00'::timestamptz = at FROM flights WHERE id = 1")
            .await,
        "t"
    );
    assert_eq!(
        client
            .state("SELECT set_config('TimeZone', 'Nowhere', false)")
            .await,
        "22023"
    );
    assert_eq!(
        client
            .state("SELECT set_config('TimeZone', 'UTC', true)")
            .await,
        "0A000"
    );
}

/// The queries with which psycopg, pgjdbc and SQLAlchemy begin or look at tables, as they send them.
#[tokio::test]
async fn start_up_and_reflection_of_drivers() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for sql in [
        // psql: \gdesc.
        "SELECT name AS \"Column\", pg_catalog.format_type(tp, tpm) AS \"Type\" FROM (VALUES ('a', '23'::pg_catalog.oid, -1)) s(name, tp, tpm)",
        // psycopg: a type by its name.
        "SELECT typname AS name, oid, typarray AS array_oid, oid::regtype::text AS regtype, typdelim AS delimiter FROM pg_type t WHERE t.oid = 'int4'::regtype ORDER BY t.oid",
        // SQLAlchemy: start.
        "select pg_catalog.version()",
        "select current_schema()",
        "show standard_conforming_strings",
        "show transaction isolation level",
        // SQLAlchemy: names of tables, whether there is one.
        "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p']) AND pg_catalog.pg_class.relpersistence != 't' AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != 'pg_catalog'",
        "SELECT pg_catalog.pg_namespace.nspname FROM pg_catalog.pg_namespace WHERE pg_catalog.pg_namespace.nspname NOT LIKE 'pg\\_%' ORDER BY pg_catalog.pg_namespace.nspname",
        // SQLAlchemy: columns.
        "SELECT pg_catalog.pg_attribute.attname AS name, pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, (SELECT pg_catalog.pg_get_expr(pg_catalog.pg_attrdef.adbin, pg_catalog.pg_attrdef.adrelid) AS pg_get_expr_1 FROM pg_catalog.pg_attrdef WHERE pg_catalog.pg_attrdef.adrelid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attrdef.adnum = pg_catalog.pg_attribute.attnum AND pg_catalog.pg_attribute.atthasdef) AS \"default\", pg_catalog.pg_attribute.attnotnull AS not_null, pg_catalog.pg_class.relname AS table_name, pg_catalog.pg_description.description AS comment, pg_catalog.pg_attribute.attgenerated AS generated FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attribute.attnum > 0 AND NOT pg_catalog.pg_attribute.attisdropped LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_description.objsubid = pg_catalog.pg_attribute.attnum JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm']) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != 'pg_catalog' AND pg_catalog.pg_class.relname IN ('flights') ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_attribute.attnum",
        // pgjdbc: DatabaseMetaData.getTables.
        "SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME, CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN CASE WHEN n.nspname = 'pg_catalog' OR n.nspname = 'information_schema' THEN CASE c.relkind WHEN 'r' THEN 'SYSTEM TABLE' ELSE NULL END ELSE NULL END WHEN false THEN CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END ELSE NULL END AS TABLE_TYPE, d.description AS REMARKS, '' as TYPE_CAT, '' as TYPE_SCHEM, '' as TYPE_NAME, '' AS SELF_REFERENCING_COL_NAME, '' AS REF_GENERATION FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid AND (false OR ( c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ) ) ORDER BY TABLE_TYPE,TABLE_SCHEM,TABLE_NAME",
        // Grafana and Metabase: what is there.
        "select quote_ident(table_name) from information_schema.tables where table_schema not in ('information_schema', 'pg_catalog') order by table_name",
        "SELECT current_setting('server_version_num')::int / 100 AS version",
    ] {
        assert!(!client.rows(sql).await.is_empty(), "{sql}");
    }
}
