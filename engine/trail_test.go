package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/weir-dev/weir/engine"
)

// TestNoteNobodyWaitsFor: a caller that is gone before its entry is safe changes nothing, and the entry says so in the end.
func TestNoteNobodyWaitsFor(t *testing.T) {
	s := newSite(t)
	tx, err := s.pool.Begin(s.ctx)
	s.no(err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(s.ctx)) }()
	_, err = tx.Exec(s.ctx, "LOCK TABLE weir.audit_log IN EXCLUSIVE MODE")
	s.no(err)

	ctx, leave := context.WithCancel(s.ctx)
	answer := make(chan error, 1)
	go func() {
		_, err := s.e.Note(ctx, engine.AuditEntry{Actor: "somebody", Kind: "TOKEN", Action: "terminateOrchestration", RequestID: "r"})
		answer <- err
	}()
	s.until("the entry is being written", func() bool {
		return s.number("SELECT count(*) FROM pg_locks WHERE relation = 'weir.audit_log'::regclass AND NOT granted") == 1
	})
	leave()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	s.no(tx.Commit(s.ctx))
	s.until("the entry has its result", func() bool {
		entries, err := s.e.AuditLog(s.ctx, engine.AuditFilter{Actor: "somebody"}, 0, 10)
		s.no(err)
		return len(entries) == 1 && entries[0].Result == "CANCELED"
	})
}
