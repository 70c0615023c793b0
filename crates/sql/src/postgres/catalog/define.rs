//! The tables of `pg_catalog` and their columns, as PostgreSQL 16 has them.
//!
//! Invariant: a row may leave columns out: flags are then false, numbers 0, all else NULL; so are numbers of a type with `?`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, StringArray,
    TimestampMillisecondArray, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use types::Timestamp;

use super::super::types::{PgType, TYPE_KEY};
use crate::columns::UTC;

/// A table.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// `name type, name type ...`
    columns: &'static str,
    /// Nothing of its kind exists here.
    is_empty: bool,
}

const fn table(name: &'static str, columns: &'static str) -> Table {
    Table {
        name,
        columns,
        is_empty: false,
    }
}

const fn empty(name: &'static str, columns: &'static str) -> Table {
    Table {
        name,
        columns,
        is_empty: true,
    }
}

/// What is counted of tables, all of them or those of users.
const TABLE_STATISTICS: &str = "relid oid, schemaname name, relname name, seq_scan int8, last_seq_scan timestamptz, seq_tup_read int8, idx_scan int8, \
         last_idx_scan timestamptz, idx_tup_fetch int8, n_tup_ins int8, n_tup_upd int8, n_tup_del int8, n_tup_hot_upd int8, \
         n_tup_newpage_upd int8, n_live_tup int8, n_dead_tup int8, n_mod_since_analyze int8, n_ins_since_vacuum int8, \
         last_vacuum timestamptz, last_autovacuum timestamptz, last_analyze timestamptz, last_autoanalyze timestamptz, \
         vacuum_count int8, autovacuum_count int8, analyze_count int8, autoanalyze_count int8";

/// All tables.
pub(super) const TABLES: &[Table] = &[
    table("pg_am", "oid oid, amname name, amhandler text, amtype char"),
    table(
        "pg_attribute",
        "attrelid oid, attname name, atttypid oid, attlen int2, attnum int2, attcacheoff int4, atttypmod int4, attndims int2, \
         attbyval bool, attalign char, attstorage char, attcompression char, attnotnull bool, atthasdef bool, atthasmissing bool, \
         attidentity char, attgenerated char, attisdropped bool, attislocal bool, attinhcount int2, attstattarget int2, \
         attcollation oid, attacl text[], attoptions text[], attfdwoptions text[], attmissingval text",
    ),
    table(
        "pg_class",
        "oid oid, relname name, relnamespace oid, reltype oid, reloftype oid, relowner oid, relam oid, relfilenode oid, \
         reltablespace oid, relpages int4, reltuples float4, relallvisible int4, reltoastrelid oid, relhasindex bool, \
         relisshared bool, relpersistence char, relkind char, relnatts int2, relchecks int2, relhasrules bool, \
         relhastriggers bool, relhassubclass bool, relrowsecurity bool, relforcerowsecurity bool, relispopulated bool, \
         relreplident char, relispartition bool, relrewrite oid, relfrozenxid int8, relminmxid int8, relacl text[], \
         reloptions text[], relpartbound text",
    ),
    table(
        "pg_database",
        "oid oid, datname name, datdba oid, encoding int4, datlocprovider char, datistemplate bool, datallowconn bool, \
         datconnlimit int4, datfrozenxid int8, datminmxid int8, dattablespace oid, datcollate text, datctype text, \
         daticulocale text, daticurules text, datcollversion text, datacl text[]",
    ),
    table(
        "pg_namespace",
        "oid oid, nspname name, nspowner oid, nspacl text[]",
    ),
    table(
        "pg_roles",
        "rolname name, rolsuper bool, rolinherit bool, rolcreaterole bool, rolcreatedb bool, rolcanlogin bool, \
         rolreplication bool, rolconnlimit int4, rolpassword text, rolvaliduntil timestamptz, rolbypassrls bool, \
         rolconfig text[], oid oid",
    ),
    table(
        "pg_settings",
        "name text, setting text, unit text, category text, short_desc text, extra_desc text, context text, vartype text, \
         source text, min_val text, max_val text, enumvals text[], boot_val text, reset_val text, sourcefile text, \
         sourceline int4, pending_restart bool",
    ),
    table(
        "pg_stat_activity",
        "datid oid, datname name, pid int4, leader_pid int4, usesysid oid, usename name, application_name text, \
         client_addr text, client_hostname text, client_port int4, backend_start timestamptz, xact_start timestamptz, \
         query_start timestamptz, state_change timestamptz, wait_event_type text, wait_event text, state text, \
         backend_xid int8, backend_xmin int8, query_id int8, query text, backend_type text",
    ),
    table(
        "pg_tables",
        "schemaname name, tablename name, tableowner name, tablespace name, hasindexes bool, hasrules bool, hastriggers bool, \
         rowsecurity bool",
    ),
    table(
        "pg_tablespace",
        "oid oid, spcname name, spcowner oid, spcacl text[], spcoptions text[]",
    ),
    table(
        "pg_type",
        "oid oid, typname name, typnamespace oid, typowner oid, typlen int2, typbyval bool, typtype char, typcategory char, \
         typispreferred bool, typisdefined bool, typdelim char, typrelid oid, typsubscript text, typelem oid, typarray oid, \
         typinput text, typoutput text, typreceive text, typsend text, typmodin text, typmodout text, typanalyze text, \
         typalign char, typstorage char, typnotnull bool, typbasetype oid, typtypmod int4, typndims int4, typcollation oid, \
         typdefaultbin text, typdefault text, typacl text[]",
    ),
    table(
        "pg_user",
        "usename name, usesysid oid, usecreatedb bool, usesuper bool, userepl bool, usebypassrls bool, passwd text, \
         valuntil timestamptz, useconfig text[]",
    ),
    empty(
        "pg_aggregate",
        "aggfnoid text, aggkind char, aggnumdirectargs int2",
    ),
    empty(
        "pg_amop",
        "oid oid, amopfamily oid, amoplefttype oid, amoprighttype oid, amopstrategy int2, amoppurpose char, amopopr oid, amopmethod oid, amopsortfamily oid",
    ),
    empty(
        "pg_amproc",
        "oid oid, amprocfamily oid, amproclefttype oid, amprocrighttype oid, amprocnum int2, amproc text",
    ),
    empty("pg_attrdef", "oid oid, adrelid oid, adnum int2, adbin text"),
    empty(
        "pg_auth_members",
        "oid oid, roleid oid, member oid, grantor oid, admin_option bool, inherit_option bool, set_option bool",
    ),
    empty(
        "pg_available_extensions",
        "name name, default_version text, installed_version text, comment text",
    ),
    empty(
        "pg_cast",
        "oid oid, castsource oid, casttarget oid, castfunc oid, castcontext char, castmethod char",
    ),
    empty(
        "pg_collation",
        "oid oid, collname name, collnamespace oid, collowner oid, collprovider char, collisdeterministic bool, \
         collencoding int4, collcollate text, collctype text, colliculocale text, collversion text",
    ),
    empty(
        "pg_constraint",
        "oid oid, conname name, connamespace oid, contype char, condeferrable bool, condeferred bool, convalidated bool, \
         conrelid oid, contypid oid, conindid oid, conparentid oid, confrelid oid, confupdtype char, confdeltype char, \
         confmatchtype char, conislocal bool, coninhcount int2, connoinherit bool, conkey int2[], confkey int2[], \
         conpfeqop int8[], conppeqop int8[], conffeqop int8[], confdelsetcols int2[], conexclop int8[], conbin text",
    ),
    empty(
        "pg_conversion",
        "oid oid, conname name, connamespace oid, conowner oid, conforencoding int4, contoencoding int4, conproc text, condefault bool",
    ),
    empty(
        "pg_db_role_setting",
        "setdatabase oid, setrole oid, setconfig text[]",
    ),
    empty(
        "pg_default_acl",
        "oid oid, defaclrole oid, defaclnamespace oid, defaclobjtype char, defaclacl text[]",
    ),
    empty(
        "pg_depend",
        "classid oid, objid oid, objsubid int4, refclassid oid, refobjid oid, refobjsubid int4, deptype char",
    ),
    empty(
        "pg_description",
        "objoid oid, classoid oid, objsubid int4, description text",
    ),
    empty(
        "pg_enum",
        "oid oid, enumtypid oid, enumsortorder float4, enumlabel name",
    ),
    empty(
        "pg_event_trigger",
        "oid oid, evtname name, evtevent name, evtowner oid, evtfoid oid, evtenabled char, evttags text[]",
    ),
    empty(
        "pg_extension",
        "oid oid, extname name, extowner oid, extnamespace oid, extrelocatable bool, extversion text, extconfig oid[], extcondition text[]",
    ),
    empty(
        "pg_foreign_data_wrapper",
        "oid oid, fdwname name, fdwowner oid, fdwhandler oid, fdwvalidator oid, fdwoptions text[]",
    ),
    empty(
        "pg_foreign_server",
        "oid oid, srvname name, srvowner oid, srvfdw oid, srvtype text, srvversion text, srvoptions text[]",
    ),
    empty(
        "pg_foreign_table",
        "ftrelid oid, ftserver oid, ftoptions text[]",
    ),
    empty(
        "pg_index",
        "indexrelid oid, indrelid oid, indnatts int2, indnkeyatts int2, indisunique bool, indnullsnotdistinct bool, \
         indisprimary bool, indisexclusion bool, indimmediate bool, indisclustered bool, indisvalid bool, indcheckxmin bool, \
         indisready bool, indislive bool, indisreplident bool, indkey int2[], indcollation int8[], indclass int8[], \
         indoption int2[], indexprs text, indpred text",
    ),
    empty(
        "pg_indexes",
        "schemaname name, tablename name, indexname name, tablespace name, indexdef text",
    ),
    empty(
        "pg_inherits",
        "inhrelid oid, inhparent oid, inhseqno int4, inhdetachpending bool",
    ),
    empty(
        "pg_language",
        "oid oid, lanname name, lanowner oid, lanispl bool, lanpltrusted bool, lanplcallfoid oid, laninline oid, lanvalidator oid, \
         lanacl text[]",
    ),
    empty(
        "pg_largeobject_metadata",
        "oid oid, lomowner oid, lomacl text[]",
    ),
    empty(
        "pg_locks",
        "locktype text, database oid, relation oid, pid int4, mode text, granted bool",
    ),
    empty(
        "pg_matviews",
        "schemaname name, matviewname name, matviewowner name, tablespace name, hasindexes bool, ispopulated bool, definition text",
    ),
    empty(
        "pg_opclass",
        "oid oid, opcmethod oid, opcname name, opcnamespace oid, opcowner oid, opcfamily oid, opcintype oid, opcdefault bool, opckeytype oid",
    ),
    empty(
        "pg_operator",
        "oid oid, oprname name, oprnamespace oid, oprowner oid, oprkind char, oprleft oid, oprright oid, oprresult oid, oprcode text",
    ),
    empty(
        "pg_opfamily",
        "oid oid, opfmethod oid, opfname name, opfnamespace oid, opfowner oid",
    ),
    empty(
        "pg_partitioned_table",
        "partrelid oid, partstrat char, partnatts int2, partdefid oid, partattrs int2[], partclass int8[], partcollation int8[], partexprs text",
    ),
    empty(
        "pg_policy",
        "oid oid, polname name, polrelid oid, polcmd char, polpermissive bool, polroles text, polqual text, polwithcheck text",
    ),
    empty(
        "pg_proc",
        "oid oid, proname name, pronamespace oid, proowner oid, prolang oid, procost float4, prorows float4, provariadic oid, \
         prosupport text, prokind char, prosecdef bool, proleakproof bool, proisstrict bool, proretset bool, provolatile char, \
         proparallel char, pronargs int2, pronargdefaults int2, prorettype oid, proargtypes int8[], proallargtypes int8[], \
         proargmodes text[], proargnames text[], proargdefaults text, prosrc text, probin text, proconfig text[], proacl text[]",
    ),
    empty(
        "pg_publication",
        "oid oid, pubname name, pubowner oid, puballtables bool, pubinsert bool, pubupdate bool, pubdelete bool, pubtruncate bool, pubviaroot bool",
    ),
    empty(
        "pg_publication_namespace",
        "oid oid, pnpubid oid, pnnspid oid",
    ),
    empty(
        "pg_publication_rel",
        "oid oid, prpubid oid, prrelid oid, prqual text, prattrs int2[]",
    ),
    empty(
        "pg_range",
        "rngtypid oid, rngsubtype oid, rngmultitypid oid, rngcollation oid, rngsubopc oid",
    ),
    empty(
        "pg_rewrite",
        "oid oid, rulename name, ev_class oid, ev_type char, ev_enabled char, is_instead bool, ev_qual text, ev_action text",
    ),
    empty(
        "pg_seclabel",
        "objoid oid, classoid oid, objsubid int4, provider text, label text",
    ),
    empty(
        "pg_sequence",
        "seqrelid oid, seqtypid oid, seqstart int8, seqincrement int8, seqmax int8, seqmin int8, seqcache int8, seqcycle bool",
    ),
    empty(
        "pg_sequences",
        "schemaname name, sequencename name, sequenceowner name, data_type text, last_value int8",
    ),
    empty(
        "pg_shdescription",
        "objoid oid, classoid oid, description text",
    ),
    empty("pg_stat_all_tables", TABLE_STATISTICS),
    empty("pg_stat_user_tables", TABLE_STATISTICS),
    empty(
        "pg_statistic_ext",
        "oid oid, stxrelid oid, stxname name, stxnamespace oid, stxowner oid, stxstattarget int4, stxkeys int2[], stxkind text[], stxexprs text",
    ),
    empty(
        "pg_subscription",
        "oid oid, subdbid oid, subskiplsn text, subname name, subowner oid, subenabled bool, subbinary bool, substream char, \
         subtwophasestate char, subdisableonerr bool, subpasswordrequired bool, subrunasowner bool, subconninfo text, \
         subslotname name, subsynccommit text, subpublications text[], suborigin text",
    ),
    empty(
        "pg_trigger",
        "oid oid, tgrelid oid, tgparentid oid, tgname name, tgfoid oid, tgtype int2, tgenabled char, tgisinternal bool, \
         tgconstrrelid oid, tgconstrindid oid, tgconstraint oid, tgdeferrable bool, tginitdeferred bool, tgnargs int2, tgqual text",
    ),
    empty(
        "pg_ts_config",
        "oid oid, cfgname name, cfgnamespace oid, cfgowner oid, cfgparser oid",
    ),
    empty(
        "pg_ts_dict",
        "oid oid, dictname name, dictnamespace oid, dictowner oid, dicttemplate oid, dictinitoption text",
    ),
    empty(
        "pg_ts_parser",
        "oid oid, prsname name, prsnamespace oid, prsstart text, prstoken text, prsend text, prsheadline text, prslextype text",
    ),
    empty(
        "pg_ts_template",
        "oid oid, tmplname name, tmplnamespace oid, tmplinit text, tmpllexize text",
    ),
    empty(
        "pg_user_mapping",
        "oid oid, umuser oid, umserver oid, umoptions text[]",
    ),
    empty(
        "pg_user_mappings",
        "umid oid, srvid oid, srvname name, umuser oid, usename name, umoptions text[]",
    ),
    empty(
        "pg_views",
        "schemaname name, viewname name, viewowner name, definition text",
    ),
];

/// The tables of `information_schema`.
pub(super) const INFORMATION_TABLES: &[Table] = &[
    table(
        "columns",
        "table_catalog name, table_schema name, table_name name, column_name name, ordinal_position int4, column_default text, \
         is_nullable text, data_type text, character_maximum_length int4?, character_octet_length int4?, \
         numeric_precision int4?, numeric_precision_radix int4?, numeric_scale int4?, datetime_precision int4?, \
         interval_type text, interval_precision int4?, character_set_catalog name, character_set_schema name, \
         character_set_name name, collation_catalog name, collation_schema name, collation_name name, domain_catalog name, \
         domain_schema name, domain_name name, udt_catalog name, udt_schema name, udt_name name, scope_catalog name, \
         scope_schema name, scope_name name, maximum_cardinality int4?, dtd_identifier name, is_self_referencing text, \
         is_identity text, identity_generation text, identity_start text, identity_increment text, identity_maximum text, \
         identity_minimum text, identity_cycle text, is_generated text, generation_expression text, is_updatable text",
    ),
    table(
        "role_table_grants",
        "grantor name, grantee name, table_catalog name, table_schema name, table_name name, privilege_type text, is_grantable text, \
         with_hierarchy text",
    ),
    table(
        "schemata",
        "catalog_name name, schema_name name, schema_owner name",
    ),
    table(
        "table_privileges",
        "grantor name, grantee name, table_catalog name, table_schema name, table_name name, privilege_type text, is_grantable text, \
         with_hierarchy text",
    ),
    table(
        "tables",
        "table_catalog name, table_schema name, table_name name, table_type text, is_insertable_into text, is_typed text",
    ),
    empty(
        "check_constraints",
        "constraint_catalog name, constraint_schema name, constraint_name name, check_clause text",
    ),
    empty(
        "column_privileges",
        "grantor name, grantee name, table_catalog name, table_schema name, table_name name, column_name name, \
         privilege_type text, is_grantable text",
    ),
    empty(
        "constraint_column_usage",
        "table_catalog name, table_schema name, table_name name, column_name name, constraint_catalog name, constraint_schema name, constraint_name name",
    ),
    empty(
        "key_column_usage",
        "constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, table_schema name, table_name name, column_name name, ordinal_position int4, position_in_unique_constraint int4",
    ),
    empty(
        "parameters",
        "specific_catalog name, specific_schema name, specific_name name, ordinal_position int4, parameter_mode text, parameter_name name, data_type text",
    ),
    empty(
        "referential_constraints",
        "constraint_catalog name, constraint_schema name, constraint_name name, unique_constraint_catalog name, unique_constraint_schema name, unique_constraint_name name, match_option text, update_rule text, delete_rule text",
    ),
    empty(
        "routine_privileges",
        "grantor name, grantee name, specific_catalog name, specific_schema name, specific_name name, routine_catalog name, \
         routine_schema name, routine_name name, privilege_type text, is_grantable text",
    ),
    empty(
        "routines",
        "specific_catalog name, specific_schema name, specific_name name, routine_catalog name, routine_schema name, routine_name name, routine_type text, data_type text, routine_definition text",
    ),
    empty(
        "sequences",
        "sequence_catalog name, sequence_schema name, sequence_name name, data_type text",
    ),
    empty(
        "table_constraints",
        "constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, table_schema name, table_name name, constraint_type text, is_deferrable text, initially_deferred text",
    ),
    empty(
        "triggers",
        "trigger_catalog name, trigger_schema name, trigger_name name, event_manipulation text, event_object_schema name, event_object_table name, action_statement text",
    ),
    empty(
        "views",
        "table_catalog name, table_schema name, table_name name, view_definition text, check_option text, is_updatable text",
    ),
];

pub(super) fn find(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

/// Whether `pg_catalog` has a table of this name.
pub(in super::super) fn has_table(name: &str) -> bool {
    find(name).is_some()
}

/// Whether the table never has rows.
pub(in super::super) fn is_empty_table(name: &str) -> bool {
    find(name).is_some_and(|table| table.is_empty)
}

/// The type that a column of this name has in the catalogue, where columns of one name have one type.
pub(in super::super) fn column_type(name: &str) -> Option<PgType> {
    let mut columns = TABLES.iter().flat_map(Table::columns);
    let (_, kind) = columns.find(|(column, _)| *column == name)?;
    PgType::named(kind)
}

/// Whether some table has a column of this name that is an array, of which none ever has a value.
pub(in super::super) fn is_array_column(name: &str) -> bool {
    let mut columns = TABLES.iter().flat_map(Table::columns);
    columns.any(|(column, kind)| column == name && kind.ends_with("[]"))
}

/// A value of a row.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Flag(bool),
    Number(i64),
    Text(String),
    Moment(Timestamp),
}

/// Columns by name; see the invariant for those that are not there.
pub(super) type Row = HashMap<&'static str, Cell>;

impl Table {
    /// Names and types of the columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let columns = self.columns.split(',').map(str::trim);
        columns.filter_map(|column| column.split_once(' '))
    }

    pub(super) fn schema(&self) -> Schema {
        let fields = self.columns().map(|(name, kind)| {
            let item = plain(kind).strip_suffix("[]").unwrap_or(plain(kind));
            let field = Field::new(name, arrow(plain(kind)), true);
            field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), item.to_owned())]))
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    pub(super) fn batch(&self, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns().map(|(name, kind)| column(name, kind, rows));
        RecordBatch::try_new(Arc::new(self.schema()), columns.collect())
    }
}

/// Without the mark that its numbers may be NULL.
fn plain(kind: &str) -> &str {
    kind.strip_suffix('?').unwrap_or(kind)
}

fn arrow(kind: &str) -> DataType {
    match kind {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" | "oid" => DataType::Int64,
        "float4" => DataType::Float32,
        "timestamptz" => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
        _ => match kind.strip_suffix("[]") {
            Some(item) => DataType::new_list(arrow(item), true),
            None => DataType::Utf8,
        },
    }
}

fn column(name: &str, kind: &str, rows: &[Row]) -> ArrayRef {
    let number = |row: &Row| match row.get(name) {
        Some(Cell::Number(number)) => *number,
        _ => 0,
    };
    let numbers = rows.iter().map(number);
    match kind {
        "int4?" => {
            let numbers = rows.iter().map(|row| match row.get(name) {
                Some(Cell::Number(number)) => i32::try_from(*number).ok(),
                _ => None,
            });
            Arc::new(Int32Array::from_iter(numbers))
        }
        "bool" => {
            Arc::new(BooleanArray::from_iter(rows.iter().map(|row| {
                Some(matches!(row.get(name), Some(Cell::Flag(true))))
            })))
        }
        "int2" => Arc::new(Int16Array::from_iter_values(
            numbers.map(|number| i16::try_from(number).unwrap_or(i16::MAX)),
        )),
        "int4" => Arc::new(Int32Array::from_iter_values(
            numbers.map(|number| i32::try_from(number).unwrap_or(i32::MAX)),
        )),
        "int8" | "oid" => Arc::new(Int64Array::from_iter_values(numbers)),
        "float4" => Arc::new(Float32Array::from_iter_values(
            numbers.map(|number| number as f32),
        )),
        "timestamptz" => {
            let moments = rows.iter().map(|row| match row.get(name) {
                Some(Cell::Moment(moment)) => Some(moment.ms()),
                _ => None,
            });
            let moments = TimestampMillisecondArray::from_iter(moments);
            Arc::new(moments.with_data_type(arrow(kind)))
        }
        _ if kind.ends_with("[]") => new_null_array(&arrow(kind), rows.len()),
        _ => Arc::new(StringArray::from_iter(rows.iter().map(
            |row| match row.get(name) {
                Some(Cell::Text(text)) => Some(text.as_str()),
                _ => None,
            },
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::types::TABLE;
    use super::*;

    #[test]
    fn every_column_has_a_type_that_there_is() {
        for table in TABLES.iter().chain(INFORMATION_TABLES) {
            for (name, kind) in table.columns() {
                let item = plain(kind).strip_suffix("[]").unwrap_or(plain(kind));
                assert!(
                    TABLE.iter().any(|row| row.name == item),
                    "{}.{name}: {kind}",
                    table.name
                );
            }
            assert!(table.batch(&[]).is_ok(), "{}", table.name);
            assert!(table.batch(&[Row::new()]).is_ok(), "{}", table.name);
        }
    }

    #[test]
    fn tables_are_sorted_within_their_kind_and_named_once() {
        for (tables, is_empty) in [
            (TABLES, false),
            (TABLES, true),
            (INFORMATION_TABLES, false),
            (INFORMATION_TABLES, true),
        ] {
            let names: Vec<_> = tables
                .iter()
                .filter(|table| table.is_empty == is_empty)
                .map(|table| table.name)
                .collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        }
    }
}
