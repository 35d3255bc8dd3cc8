-- Tables, indexes, joins, aggregates, windows, text, deletes, vacuum. ROWS is replaced by a number.
pragma cache_size = 500;
create table item (id integer primary key, name text, kind integer, weight real, note text);
create table kind (id integer primary key, label text);
insert into kind with recursive n(i) as (values(0) union all select i + 1 from n where i < 96) select i, 'kind ' || i from n;
begin;
insert into item with recursive n(i) as (values(1) union all select i + 1 from n where i < ROWS)
    select i, 'name ' || (i * 7919 % 10007), i % 97, i * 0.5, substr('the quick brown fox jumps over the lazy dog', i % 40 + 1) from n;
commit;
select count(*), sum(weight), max(length(note)) from item;
create index by_name on item (name, kind);
create index by_note on item (note);
select k.label, count(*), avg(i.weight) from item i join kind k on k.id = i.kind group by k.label order by 2 desc, 1 limit 10;
select a.name, count(*) from item a join item b on a.name = b.name and a.id < b.id group by a.name order by 2 desc, 1 limit 5;
select id, rank() over (partition by kind order by weight desc) r, sum(weight) over (order by id rows 3 preceding) from item order by r, id limit 8;
select count(distinct note), group_concat(distinct substr(note, 1, 3)) from item where id % 11 = 0;
create table copy as select * from item order by note, id desc;
update copy set note = note || name || hex(zeroblob(id % 60)) where id % 3 = 0;
delete from copy where id % 7 < 3;
select count(*), sum(length(note)) from copy;
create trigger counted after delete on item begin insert into kind (label) values (old.name); end;
delete from item where id between 1000 and 2000;
select count(*), min(label), max(label) from kind;
select json_group_array(json_object('id', id, 'name', name)) from (select id, name from copy order by id limit 50);
with recursive fib(n, a, b) as (values(1, 0, 1) union all select n + 1, b, a + b from fib where n < 80) select n, a from fib where n % 10 = 0;
drop index by_note;
vacuum;
pragma integrity_check;
select count(*), sum(id) from item where name like '%99%' and note glob '*fox*';
