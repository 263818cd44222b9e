"""What a BI tool does by way of SQLAlchemy: looks around, reflects a view, and
queries it with parameters. The address of the server is its argument."""

import datetime
import decimal
import sys

import sqlalchemy as sa

engine = sa.create_engine(sys.argv[1].replace("postgres://", "postgresql+psycopg2://", 1))
inspector = sa.inspect(engine)
print("schemas", sorted(inspector.get_schema_names()))
print("tables", inspector.get_table_names())
print("views", sorted(inspector.get_view_names()))
print("materialized views", inspector.get_materialized_view_names())
for column in inspector.get_columns("types"):
    print("column", column["name"], column["type"], column["nullable"])
print("comment", [c["comment"] for c in inspector.get_columns("kept", schema="public")])
print("keys", inspector.get_pk_constraint("kept"), inspector.get_foreign_keys("kept"), inspector.get_unique_constraints("kept"))
print("indexes", [(i["name"], i["column_names"], i["unique"]) for i in inspector.get_indexes("kept")])
print("definition", inspector.get_view_definition("counted"))
print("exists", inspector.has_table("types"), inspector.has_table("nix"))

metadata = sa.MetaData()
metadata.reflect(engine, views=True)
print("reflected", sorted(metadata.tables))
types = metadata.tables["types"]
query = (
    sa.select(types.c.id, types.c.b, types.c.i, types.c.f, types.c.d, types.c.t, types.c.j, sa.cast(types.c.t, sa.Date).label("day"))
    .where(types.c.t >= datetime.datetime(2016, 1, 1), types.c.t < datetime.datetime(2017, 1, 1))
    .where(types.c.i.in_([-7, 8]), types.c.d <= decimal.Decimal("1.50"), types.c.id != "x")
    .order_by(types.c.t.desc())
    .limit(10)
)
grouped = sa.select(sa.func.date_trunc("day", types.c.t).label("day"), sa.func.count().label("COUNT(*)"), sa.func.sum(types.c.i)).group_by(sa.text("1"))
with engine.connect() as connection:
    for question in (query, grouped):
        answer = connection.execute(question)
        print(list(answer.keys()), answer.all())
