-- A database with a bit of everything. Runs in an empty database of a superuser; roles exist.
ALTER SCHEMA public OWNER TO app;
COMMENT ON SCHEMA public IS 'multi
line -- comment; with ''quotes''';
CREATE EXTENSION pg_trgm SCHEMA public;
CREATE SCHEMA "we""ird sch.ema";
CREATE SCHEMA "select";
CREATE SCHEMA "😀
newline";
CREATE SCHEMA "-- \! not a shell";
ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES TO "rö le""x";
CREATE TYPE public.mood AS ENUM ('ok', E'tab\tbed', 'quo''te', E'new\nline');
ALTER TYPE public.mood ADD VALUE 'first' BEFORE 'ok';
CREATE TYPE public.pair AS (a int, b text);
CREATE DOMAIN public.positive AS int CHECK (VALUE > 0);
CREATE TYPE public.floats AS RANGE (subtype = float8, multirange_type_name = public.manyfloats);
CREATE TABLE public.types (
  id int PRIMARY KEY, a smallint, b bigint, c numeric, d real, e double precision, f money, g text, h varchar(10),
  i char(5), j bytea, k timestamp, l timestamptz, m date, n time, o timetz, p interval, q boolean, r public.mood, s point,
  t line, u lseg, v box, w path, x polygon, y circle, z inet, aa cidr, ab macaddr, ac macaddr8, ad bit(3), ae varbit,
  af tsvector, ag tsquery, ah uuid, ai xml, aj json, ak jsonb, al int[], am text[][], an public.pair, ao public.positive,
  ap public.floats, aq int4range, ar int4multirange, at pg_lsn, au regclass, av regtype, aw jsonpath, ax "char", ay name, az oid);
INSERT INTO public.types VALUES (1, -32768, 9223372036854775807, 'NaN', 'NaN', '-Infinity', -12.34, E'\\N', 'x', 'ab',
  '\x00ff5c0a', '4714-11-24 00:00:00 BC', 'infinity', '-infinity', '24:00', '24:00+05', '1 year -2 days 03:04:05.678', true, E'new\nline', '(1,2)',
  '{1,2,3}', '[(1,2),(3,4)]', '(3,4),(1,2)', '[(1,1),(2,2)]', '((1,1),(2,2),(3,1))', '<(1,2),3>', '::1', '10/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '101', '1',
  'a:1A fat', 'fat & rat', '00000000-0000-0000-0000-000000000001', '<a>1</a>', '{"a":1, "a":2}', '{"b":1,"a":null}', '[-1:0]={1,2}', '{{"a","NULL"},{NULL,"\""}}', '(1,"x,y")', 7,
  '[1.1,2)', '[1,5)', '{[1,2),[4,5)}', '16/B374D848', 'public.types', 'public.mood', '$.a[*]', 'x', 'name', 42);
INSERT INTO public.types (id, d, e, c) VALUES (2, 1e-45, '-0', 'Infinity'), (3, 3.4e38, 5e-324, 0.000000000000000000001);
CREATE TABLE public.torture (id serial PRIMARY KEY, t text);
INSERT INTO public.torture (t) VALUES ('\.'), (E'\r\n\t\b'), (E'\uFEFFbom'), (''), (NULL), (E'\\restrict x'), (repeat('x', 100000)), ('؀‏rtl');
CREATE TABLE public.noncolumns ();
INSERT INTO public.noncolumns DEFAULT VALUES; INSERT INTO public.noncolumns DEFAULT VALUES;
CREATE TABLE public.empty (id int);
CREATE TABLE public.dropped (a int, gone int, b text);
INSERT INTO public.dropped VALUES (1, 2, 'x'), (1, 3, 'x'), (1, 2, 'y');
ALTER TABLE public.dropped DROP COLUMN gone;
ALTER TABLE public.dropped ADD COLUMN fast int DEFAULT 42;
CREATE TABLE public.generated (a int NOT NULL, b int GENERATED ALWAYS AS (a * 2) STORED, id int GENERATED ALWAYS AS IDENTITY (START 10), PRIMARY KEY (id));
INSERT INTO public.generated (a) SELECT generate_series(1, 5);
CREATE TABLE "we""ird sch.ema"."\! touch /tmp/dysno-pwned" ("select" int, "a""b.c	
d" text, "😀" int);
INSERT INTO "we""ird sch.ema"."\! touch /tmp/dysno-pwned" VALUES (1, 'x', 2);
CREATE TABLE "select"."012345678901234567890123456789012345678901234567890123456789012" (id int PRIMARY KEY);
CREATE SEQUENCE public.unused; CREATE SEQUENCE public.down AS smallint INCREMENT -1 CYCLE; SELECT nextval('public.down');
CREATE UNLOGGED TABLE public.unlogged (id int PRIMARY KEY); INSERT INTO public.unlogged VALUES (1);
CREATE TABLE public.parent (id int); CREATE TABLE public.child (x text) INHERITS (public.parent);
INSERT INTO public.parent VALUES (1); INSERT INTO public.child VALUES (2, 'c');
CREATE TABLE public.ranged (at timestamptz, kind text, v int) PARTITION BY RANGE (at);
CREATE TABLE public.ranged_1 PARTITION OF public.ranged FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') PARTITION BY LIST (kind);
CREATE TABLE "select".leaf_a PARTITION OF public.ranged_1 FOR VALUES IN ('a');
CREATE TABLE public.other_order (v int, kind text, at timestamptz);
ALTER TABLE public.ranged_1 ATTACH PARTITION public.other_order DEFAULT;
INSERT INTO public.ranged VALUES ('2024-01-05', 'a', 1), ('2024-01-06', 'b', 2);
CREATE TABLE public.hashed (m public.mood, n int, PRIMARY KEY (m, n)) PARTITION BY HASH (m);
CREATE TABLE public.hashed_0 PARTITION OF public.hashed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE public.hashed_1 PARTITION OF public.hashed FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE public.hashed_2 PARTITION OF public.hashed FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO public.hashed SELECT m, n FROM unnest(enum_range(NULL::public.mood)) m, generate_series(1, 20) n;
CREATE TABLE public.hollow (id int) PARTITION BY LIST (id);
CREATE TABLE public.a (id int PRIMARY KEY, b int); CREATE TABLE public.b (id int PRIMARY KEY, a int REFERENCES public.a DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE public.a ADD FOREIGN KEY (b) REFERENCES public.b DEFERRABLE INITIALLY DEFERRED;
BEGIN; INSERT INTO public.a VALUES (1, 1); INSERT INTO public.b VALUES (1, 1); COMMIT;
CREATE TABLE public.tree (id int PRIMARY KEY, up int REFERENCES public.tree); INSERT INTO public.tree VALUES (2, NULL), (1, 2);
CREATE TABLE public.violating (id int, x int); INSERT INTO public.violating VALUES (1, -1);
ALTER TABLE public.violating ADD CHECK (x > 0) NOT VALID, ADD FOREIGN KEY (id) REFERENCES public.tree (id) NOT VALID;
INSERT INTO public.violating VALUES (2, 1);
CREATE TABLE public.exclusive (r int4range, EXCLUDE USING gist (r WITH &&)); INSERT INTO public.exclusive VALUES ('[1,2)');
CREATE TABLE public.nulls (x int, UNIQUE NULLS NOT DISTINCT (x)); INSERT INTO public.nulls VALUES (NULL), (1);
CREATE FUNCTION public.known(int) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN RETURN EXISTS (SELECT FROM public.zz_known WHERE id = $1); END; $f$;
CREATE TABLE public.zz_known (id int PRIMARY KEY); INSERT INTO public.zz_known SELECT generate_series(1, 100);
CREATE TABLE public.aa_checked (id int CHECK (public.known(id)), pad text); INSERT INTO public.aa_checked SELECT i, repeat('p', 1000) FROM generate_series(1, 100) i;
CREATE INDEX ON public.torture (lower(left(t, 10))) WHERE t <> ''; CREATE INDEX ON public.torture USING gin (left(t, 100) public.gin_trgm_ops);
CREATE INDEX ON public.types USING brin (k); CREATE UNIQUE INDEX inc ON public.generated (a) INCLUDE (b);
ALTER TABLE public.generated REPLICA IDENTITY USING INDEX inc; ALTER TABLE public.generated CLUSTER ON inc;
CREATE TABLE "select".keyless (a int, b text); INSERT INTO "select".keyless VALUES (1, 'x'), (2, 'y'), (1, 'x'), (NULL, NULL), (1, 'z');
CREATE STATISTICS public.st (dependencies) ON a, fast FROM public.dropped;
CREATE COLLATION public.nd (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE public.collated (t text COLLATE public.nd PRIMARY KEY); INSERT INTO public.collated VALUES ('b'), ('A'), ('ä'), ('Z'), ('_');
CREATE TABLE public.worded (t text PRIMARY KEY); INSERT INTO public.worded VALUES ('b'), ('A'), ('ä'), ('Z'), ('_');
CREATE FUNCTION public.atomic(begin int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN begin > 0 THEN 1 ELSE 2 END; SELECT 3; END;
CREATE PROCEDURE public.setter() LANGUAGE sql SECURITY DEFINER SET search_path = public, "$user" AS $_$ SELECT '$$;$$' $_$;
CREATE AGGREGATE public.total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR public.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE VIEW public.seen WITH (security_barrier) AS SELECT id, t FROM public.torture WHERE id > 0 WITH CHECK OPTION;
ALTER VIEW public.seen ALTER COLUMN t SET DEFAULT 'x;y';
CREATE VIEW public.grouped AS SELECT id, a, b FROM public.types GROUP BY id;
CREATE MATERIALIZED VIEW public.z_base AS SELECT id FROM public.torture; CREATE MATERIALIZED VIEW public.a_dependent AS SELECT count(*) FROM public.z_base;
CREATE UNIQUE INDEX ON public.z_base (id); CREATE MATERIALIZED VIEW public.unpopulated AS SELECT 1 AS x WITH NO DATA;
CREATE RULE two AS ON INSERT TO public.empty DO ALSO (INSERT INTO public.parent VALUES (99); INSERT INTO public.parent VALUES (98));
ALTER TABLE public.empty DISABLE RULE two;
CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := NEW.id + 1000; RETURN NEW; END; $$;
CREATE TRIGGER meddle BEFORE INSERT ON public.torture FOR EACH ROW EXECUTE FUNCTION public.meddle();
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END; $$;
CREATE TRIGGER refuse BEFORE INSERT ON public.zz_known FOR EACH ROW EXECUTE FUNCTION public.refuse(); ALTER TABLE public.zz_known ENABLE ALWAYS TRIGGER refuse;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.refuse(); ALTER TABLE public.parent DISABLE TRIGGER late;
ALTER TABLE public.a OWNER TO app; ALTER TABLE public.a ENABLE ROW LEVEL SECURITY; ALTER TABLE public.a FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON public.a FOR SELECT TO app USING (id > 0);
GRANT SELECT (id), UPDATE (b) ON public.a TO "rö le""x" WITH GRANT OPTION; SET ROLE "rö le""x"; GRANT SELECT (id) ON public.a TO reader; RESET ROLE;
CREATE PUBLICATION pub FOR TABLE public.tree (id) WHERE (id > 1); CREATE PUBLICATION all_of_it FOR TABLES IN SCHEMA public;
CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR app SERVER s OPTIONS (password 's3cr''et');
CREATE FOREIGN TABLE public.far (id int) SERVER s;
SELECT lo_create(4242); SELECT lo_put(4242, 0, '\x0102'); SELECT lo_put(4242, 10000000, '\xff'); ALTER LARGE OBJECT 4242 OWNER TO app;
GRANT SELECT ON LARGE OBJECT 4242 TO reader; COMMENT ON LARGE OBJECT 4242 IS 'sparse'; SELECT lo_create(4243);
CREATE TABLE public.ddl_log (tag text);
CREATE FUNCTION public.log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.ddl_log VALUES (tg_tag); END; $$;
CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION public.log_ddl(); COMMENT ON EVENT TRIGGER log_ddl IS 'logs; all';
CREATE EVENT TRIGGER log_always ON sql_drop EXECUTE FUNCTION public.log_ddl(); ALTER EVENT TRIGGER log_always ENABLE ALWAYS;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO reader;
