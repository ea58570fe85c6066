-- A call is dispatched at most once, under the claim that holds it.

-- guard: dispatch_fits_its_claim
CREATE TRIGGER dispatch_fits_its_claim BEFORE INSERT ON approvals_dispatch
BEGIN
    SELECT RAISE(ABORT, 'guard: a call is dispatched at most once')
    WHERE EXISTS (
        SELECT 1 FROM approvals_dispatch WHERE id = NEW.id OR call_id = NEW.call_id
    );
    SELECT RAISE(ABORT, 'guard: a dispatch belongs to the live claim')
    WHERE NOT EXISTS (
        SELECT 1 FROM approvals_toolcall
        WHERE id = NEW.call_id AND status = 'claimed' AND fence = NEW.fence
        AND binding = NEW.binding
    );
END;

-- guard: dispatch_never_changes
CREATE TRIGGER dispatch_never_changes BEFORE UPDATE ON approvals_dispatch
BEGIN
    SELECT RAISE(ABORT, 'guard: a dispatch is never changed');
END;

-- guard: dispatch_stays
CREATE TRIGGER dispatch_stays BEFORE DELETE ON approvals_dispatch
BEGIN
    SELECT RAISE(ABORT, 'guard: a dispatch is never deleted');
END;
