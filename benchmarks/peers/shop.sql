create table stock (
    product_id text primary key,
    on_hand bigint not null,
    reserved bigint not null default 0,
    check (reserved <= on_hand)
) with (fillfactor = 50);
create table reservations (order_id uuid primary key, product_id text not null, quantity int not null);
create table payments (order_id uuid primary key, amount numeric(12, 2) not null, status text not null)
    with (fillfactor = 70);
create table orders (
    id uuid primary key,
    product_id text not null,
    quantity int not null,
    amount numeric(12, 2) not null,
    status text not null,
    reason text,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
) with (fillfactor = 70);
insert into stock values ('p1', 100000000);
