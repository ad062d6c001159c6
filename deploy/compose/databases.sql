-- Run once, when the volume is empty. The database `travel`, whose changes are read, is made by POSTGRES_DB.
CREATE DATABASE travelos;
-- Its tables, as in streams/demo/database.py; without them change capture has nothing to read.
\connect travel
CREATE TABLE IF NOT EXISTS restaurants (
    id text PRIMARY KEY,
    name text NOT NULL,
    cuisine text,
    borough text,
    street text,
    building text,
    zipcode text,
    lat double precision,
    lon double precision,
    grades jsonb,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS places (
    id text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL,
    area text,
    address text,
    postcode text,
    phone text,
    price_range text,
    cuisine text,
    description text,
    lat double precision,
    lon double precision,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS users (
    id text PRIMARY KEY,
    name text NOT NULL,
    home_city text,
    language text,
    diet text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE restaurants REPLICA IDENTITY FULL;
ALTER TABLE places REPLICA IDENTITY FULL;
ALTER TABLE users REPLICA IDENTITY FULL;
