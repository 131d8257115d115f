package auth

import (
	"slices"
	"testing"
)

// TestMay holds the table of roles: what each may do where it is bound, and nowhere else.
func TestMay(t *testing.T) {
	table := map[Role][]Permission{
		Reader:      {Read, ReadValues},
		Operator:    {Read, Control},
		Contributor: {Read, ReadValues, Control, Start, Purge},
		Worker:      {Work},
		Admin:       {Read, ReadValues, Control, Start, Purge, Work, Administer},
	}
	for _, role := range Roles {
		bound := &Principal{Grants: Grants{"one": {role}}}
		everywhere := &Principal{Grants: Grants{AllHubs: {role}}}
		for _, permission := range Permissions {
			want := slices.Contains(table[role], permission)
			if got := bound.May(permission, "one"); got != want {
				t.Errorf("%s bound to one may %s there: %v, want %v", role, permission, got, want)
			}
			if bound.May(permission, "two") || bound.May(permission, AllHubs) {
				t.Errorf("%s bound to one may %s elsewhere", role, permission)
			}
			if got := everywhere.May(permission, "one") && everywhere.May(permission, AllHubs); got != want {
				t.Errorf("%s bound everywhere may %s: %v, want %v", role, permission, got, want)
			}
			if got := bound.MayAnywhere(permission); got != want {
				t.Errorf("%s may %s somewhere: %v, want %v", role, permission, got, want)
			}
		}
	}
}

// TestOperatorValues checks that the setting opens values to the role Operator where it is bound, and to no other.
func TestOperatorValues(t *testing.T) {
	p := &Principal{Grants: Grants{"one": {Operator}, "two": {Worker}}, OperatorValues: true}
	if !p.May(ReadValues, "one") || p.May(ReadValues, "two") || p.May(ReadValues, AllHubs) {
		t.Error("values are open where they must not be, or closed where they must be open")
	}
}

// TestHubs checks the hubs that lists are limited to.
func TestHubs(t *testing.T) {
	p := &Principal{Grants: Grants{"b": {Reader}, "a": {Contributor}, "w": {Worker}}}
	if hubs, all := p.Hubs(Read); all || !slices.Equal(hubs, []string{"a", "b"}) {
		t.Errorf("hubs to read are %v, %v", hubs, all)
	}
	if _, all := (&Principal{Grants: Grants{AllHubs: {Reader}}}).Hubs(Read); !all {
		t.Error("a role for all hubs is limited")
	}
	var nobody *Principal
	if hubs, all := nobody.Hubs(Read); all || hubs != nil || nobody.May(Read, "a") || nobody.MayAnywhere(Read) {
		t.Error("nobody may do something")
	}
	if From(t.Context()) != nil || From(With(t.Context(), p)) != p {
		t.Error("the principal of a context is not the one put in")
	}
}
