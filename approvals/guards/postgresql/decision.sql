-- What must never happen to a decision, whoever writes. Its twin is the file of the same name for SQLite,
-- which says why. Each guard begins with a line `-- guard: <name>`.

-- guard: decision_fits_its_call
CREATE OR REPLACE FUNCTION decision_fits_its_call() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM approvals_toolcall
        WHERE id = NEW.call_id AND status = 'pending' AND binding = NEW.binding
        AND owner_id = NEW.owner_id AND acts_for_id = NEW.acts_for_id
        AND four_eyes = NEW.four_eyes
    ) THEN
        RAISE EXCEPTION 'guard: a decision copies its pending call' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.stage IS DISTINCT FROM COALESCE((
        SELECT min(asked.number)
        FROM approvals_toolcall AS call,
            jsonb_array_elements(call.rule -> 'stages') WITH ORDINALITY AS asked(body, number)
        WHERE call.id = NEW.call_id AND (
            SELECT count(*) FROM approvals_decision
            WHERE call_id = NEW.call_id AND verdict = 'approve' AND binding = NEW.binding
            AND stage = asked.number
        ) < (asked.body ->> 'quorum')::int
    ), 0) THEN
        RAISE EXCEPTION 'guard: a decision is in the stage whose turn it is' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$guard$;
CREATE OR REPLACE TRIGGER decision_fits_its_call BEFORE INSERT ON approvals_decision
FOR EACH ROW EXECUTE FUNCTION decision_fits_its_call();
ALTER TABLE approvals_decision ENABLE ALWAYS TRIGGER decision_fits_its_call;

-- guard: decision_never_changes
CREATE OR REPLACE FUNCTION decision_never_changes() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: a decision is never changed' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER decision_never_changes BEFORE UPDATE ON approvals_decision
FOR EACH ROW EXECUTE FUNCTION decision_never_changes();
ALTER TABLE approvals_decision ENABLE ALWAYS TRIGGER decision_never_changes;

-- guard: decision_stays
CREATE OR REPLACE FUNCTION decision_stays() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: a decision is never deleted' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER decision_stays BEFORE DELETE ON approvals_decision
FOR EACH ROW EXECUTE FUNCTION decision_stays();
ALTER TABLE approvals_decision ENABLE ALWAYS TRIGGER decision_stays;

-- guard: decision_is_not_truncated
CREATE OR REPLACE FUNCTION decision_is_not_truncated() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    RAISE EXCEPTION 'guard: a decision is never deleted' USING ERRCODE = 'check_violation';
END;
$guard$;
CREATE OR REPLACE TRIGGER decision_is_not_truncated BEFORE TRUNCATE ON approvals_decision
FOR EACH STATEMENT EXECUTE FUNCTION decision_is_not_truncated();
ALTER TABLE approvals_decision ENABLE ALWAYS TRIGGER decision_is_not_truncated;
