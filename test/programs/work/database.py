"""The sqlite3 module: its C code allocates beside Python's."""
import sqlite3
import sys
import threading


def fill(connection, rows):
    connection.execute("create table item (id integer primary key, name text, weight real, data blob)")
    connection.executemany("insert into item values (?, ?, ?, ?)",
                           ((i, f"name {i * 7919 % 10007}", i / 3, bytes([i % 256]) * (i % 700)) for i in range(rows)))
    connection.execute("create index by_name on item (name)")
    connection.commit()


def ask(connection):
    yield connection.execute("select count(*), sum(length(data)), round(sum(weight), 2) from item").fetchone()
    yield connection.execute("select name, count(*) c from item group by name order by c desc, name limit 3").fetchall()
    yield connection.execute("select a.id, b.id from item a join item b on a.name = b.name and a.id < b.id order by 1, 2 limit 5").fetchall()
    yield connection.execute("select group_concat(name, '/') from (select name from item order by name limit 300)").fetchone()[0][:80]


def in_thread(number, rows, answers):
    connection = sqlite3.connect(":memory:")
    connection.create_function("twice", 1, lambda text: text * 2)
    fill(connection, rows)
    answers[number] = connection.execute("select sum(length(twice(name))) from item where id % ? = 0", (number + 2,)).fetchone()
    connection.close()


def main():
    scale = int(sys.argv[1])
    for place in (":memory:", "module.db"):
        connection = sqlite3.connect(place)
        fill(connection, 8000 * scale)
        for answer in ask(connection):
            print(answer)
        connection.execute("delete from item where id % 3 = 0")
        connection.execute("update item set data = zeroblob(id % 3000) where id % 5 = 0")
        connection.commit()
        connection.execute("vacuum")
        for answer in ask(connection):
            print(answer)
        print(connection.execute("pragma integrity_check").fetchone())
        print(len("\n".join(connection.iterdump())))
        connection.close()
    answers = {}
    threads = [threading.Thread(target=in_thread, args=(number, 1500 * scale, answers)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sorted(answers.items()))


main()
