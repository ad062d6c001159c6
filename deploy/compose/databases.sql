-- Run once, when the volume is empty. The database `travel`, whose changes are read, is made by POSTGRES_DB.
CREATE DATABASE travelos;
