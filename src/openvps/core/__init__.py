"""What every room needs and what knows no server: settings, database, errors, clock, money, log, jobs."""
