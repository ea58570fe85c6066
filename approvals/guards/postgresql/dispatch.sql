-- What must never happen to a dispatch, whoever writes. Its twin is the file of the same name for SQLite,
-- which says why. Each guard begins with a line `-- guard: <name>`.

-- guard: dispatch_fits_its_claim
CREATE OR REPLACE FUNCTION dispatch_fits_its_claim() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM approvals_toolcall
        WHERE id = NEW.call_id AND status = 'claimed' AND fence = NEW.fence
        AND binding = NEW.binding
    ) THEN
        RAISE EXCEPTION 'guard: a dispatch belongs to the live claim' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$guard$;
CREATE OR REPLACE TRIGGER dispatch_fits_its_claim BEFORE INSERT ON approvals_dispatch
FOR EACH ROW EXECUTE FUNCTION dispatch_fits_its_claim();
ALTER TABLE approvals_dispatch ENABLE ALWAYS TRIGGER dispatch_fits_its_claim;

-- guard: dispatch_never_changes
CREATE OR REPLACE FUNCTION dispatch_never_changes() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: a dispatch is never changed' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER dispatch_never_changes BEFORE UPDATE ON approvals_dispatch
FOR EACH ROW EXECUTE FUNCTION dispatch_never_changes();
ALTER TABLE approvals_dispatch ENABLE ALWAYS TRIGGER dispatch_never_changes;

-- guard: dispatch_stays
CREATE OR REPLACE FUNCTION dispatch_stays() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: a dispatch is never deleted' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER dispatch_stays BEFORE DELETE ON approvals_dispatch
FOR EACH ROW EXECUTE FUNCTION dispatch_stays();
ALTER TABLE approvals_dispatch ENABLE ALWAYS TRIGGER dispatch_stays;

-- guard: dispatch_is_not_truncated
CREATE OR REPLACE FUNCTION dispatch_is_not_truncated() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: a dispatch is never deleted' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER dispatch_is_not_truncated BEFORE TRUNCATE ON approvals_dispatch
FOR EACH STATEMENT EXECUTE FUNCTION dispatch_is_not_truncated();
ALTER TABLE approvals_dispatch ENABLE ALWAYS TRIGGER dispatch_is_not_truncated;
