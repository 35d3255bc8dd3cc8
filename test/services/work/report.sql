-- Queries that sort, join, aggregate, recurse, parse and run in parallel; each with an answer that does not hang on chance.
create table item as
    select i as number, md5(i::text) as name, (i * 7919) % 1009 as kind, repeat(chr(97 + i % 26), i % 90) as text, i % 7 = 0 as is_seventh
    from generate_series(1, ROWS) i;
create index item_kind on item (kind);
create index item_name on item using hash (name);
create index item_words on item using gin (to_tsvector('simple', text || ' ' || kind));
analyze item;
select count(*), sum(length(text)), min(name), max(name) from item;
select kind, count(*), md5(string_agg(name, ',' order by number desc)) from item where kind < 40 group by kind order by kind;
select md5(string_agg(t, '' order by t)) from (select name || text as t from item order by text desc, name limit 5000) s;
select a.kind, count(*) from item a join item b on a.kind = b.kind and a.number < b.number group by a.kind order by count(*) desc, a.kind limit 10;
select is_seventh, percentile_cont(array[0.1, 0.5, 0.9]) within group (order by kind) from item group by is_seventh order by is_seventh;
select number, sum(kind) over (order by number rows between 50 preceding and current row) from item where number % 997 = 0 order by number limit 20;
with recursive chain(n, path) as (
    select 1, 'a' union all select n + 1, path || chr(97 + n % 26) from chain where n < 1500)
select count(*), md5(max(path)) from chain;
select count(*) from item where to_tsvector('simple', text || ' ' || kind) @@ to_tsquery('simple', '7 | 11 | aaa');
select md5(string_agg(regexp_replace(name, '([0-9a-f]{3})(.*)', '\2\1'), '' order by number)) from item where number < 3000;
select jsonb_agg(j -> 'kinds' -> 2) from (
    select jsonb_build_object('kinds', jsonb_agg(kind order by number)) as j from item where number < 3000 group by number % 11 order by number % 11) s;
select md5(xmlelement(name all, xmlagg(xmlelement(name one, xmlattributes(kind as k), text) order by number))::text) from item where number < 500;
create function folded(rows_wanted integer) returns text language plpgsql as $$
declare
    total text := '';
    row_here record;
    names text[] := '{}';
begin
    for row_here in select * from item where number <= rows_wanted order by number loop
        total := md5(total || row_here.name || row_here.text);
        names := names || row_here.name;
        begin
            if row_here.number % 50 = 0 then
                perform 1 / (row_here.number % 50);
            end if;
        exception when division_by_zero then
            total := total || 'x';
        end;
    end loop;
    return total || cardinality(names);
end $$;
select folded(2000);
prepare by_kind(integer) as select md5(string_agg(name, '' order by number)) from item where kind = $1;
execute by_kind(3);
execute by_kind(4);
-- All processors, and code that is compiled for one query.
set parallel_setup_cost = 0;
set parallel_tuple_cost = 0;
set min_parallel_table_scan_size = 0;
set max_parallel_workers_per_gather = 2;
select kind % 5, count(*), sum(number), max(name) from item group by 1 order by 1;
set jit = on;
set jit_above_cost = 0;
set jit_optimize_above_cost = 0;
select sum(kind * 2 + number % 13), count(distinct name) from item where kind + number > 10;
set work_mem = '64kB';
select md5(string_agg(name, '' order by name desc)) from item;
select count(*) from (select name, count(*) from item group by name union all select text, count(*) from item group by text) s;
update item set text = text || 'y' where number % 3 = 0;
delete from item where number % 10 = 0;
vacuum analyze item;
select count(*), md5(string_agg(text, '' order by number)) from item;
drop table item cascade;
drop function folded;
