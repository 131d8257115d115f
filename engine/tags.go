package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-dev/weir/engine/internal/store"
)

// Limits on tags.
const (
	maxTags     = 32
	maxTagKey   = 64  // bytes
	maxTagValue = 256 // bytes
)

// CheckTag tests a tag: a key of 1 to 64 bytes and a value of at most 256 bytes, both valid UTF-8 without NUL.
func CheckTag(field, key, value string) error {
	switch {
	case key == "":
		return invalid(field, "the key of a tag must not be empty")
	case len(key) > maxTagKey:
		return invalid(field, "the key of a tag has %d bytes, at most %d are allowed", len(key), maxTagKey)
	case len(value) > maxTagValue:
		return invalid(field, "the value of the tag %q has %d bytes, at most %d are allowed", printable(key), len(value), maxTagValue)
	case !utf8.ValidString(key) || !utf8.ValidString(value):
		return invalid(field, "the tag %q is not valid UTF-8", printable(key))
	case strings.ContainsRune(key, 0) || strings.ContainsRune(value, 0):
		return invalid(field, "the tag %q has a character that cannot be stored (U+0000)", printable(key))
	}
	return nil
}

// CheckTags tests the tags of an instance: at most 32, each as CheckTag says.
func CheckTags(field string, tags map[string]string) error {
	if len(tags) > maxTags {
		return invalid(field, "are %d, at most %d are allowed", len(tags), maxTags)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if err := CheckTag(field, key, tags[key]); err != nil {
			return err
		}
	}
	return nil
}

// encodeTags writes tags for their column; nil for none.
func encodeTags(tags map[string]string) []byte {
	if len(tags) == 0 {
		return nil
	}
	doc, err := json.Marshal(tags)
	if err != nil {
		panic(err) // texts only
	}
	return doc
}

// decodeTags reads the column.
func decodeTags(doc []byte) (map[string]string, error) {
	if doc == nil {
		return nil, nil
	}
	var tags map[string]string
	if err := json.Unmarshal(doc, &tags); err != nil {
		return nil, fmt.Errorf("read tags: %w", err)
	}
	return tags, nil
}

// tagChange is what a unit does to the tags of its instance.
type tagChange struct {
	set    []byte // a JSON object
	remove []byte // a JSON array of keys
}

// SetTags gives tags of an instance new values, and takes others away; what it does not name stays. A key that is in
// both is set. The instance may be live or ended. Its code does not see the change: it is told the tags that the
// instance was started with. Errors: INVALID_ARGUMENT, also when there would be more than 32 tags, NOT_FOUND,
// UNAVAILABLE.
func (e *Engine) SetTags(ctx context.Context, hubName, id string, set map[string]string, remove []string) error {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return err
	}
	if err := first(CheckID("instance", id), CheckTags("set", set)); err != nil {
		return err
	}
	if len(remove) > maxTags {
		return invalid("remove", "are %d, at most %d are allowed", len(remove), maxTags)
	}
	for _, key := range remove {
		if err := CheckTag("remove", key, ""); err != nil {
			return err
		}
	}
	if set == nil {
		set = map[string]string{}
	}
	if remove == nil {
		remove = []string{}
	}
	c := &tagChange{}
	if c.set, err = json.Marshal(set); err != nil {
		return fmt.Errorf("set tags: %w", err)
	}
	if c.remove, err = json.Marshal(remove); err != nil {
		return fmt.Errorf("set tags: %w", err)
	}
	for {
		rows, err := e.q.FindInstances(ctx, e.pool, store.FindInstancesParams{Hubs: []int32{hub.no}, Ids: []string{id}})
		if err != nil {
			return fmt.Errorf("set tags: %w", err)
		}
		if len(rows) == 0 {
			return instanceNotFound(id)
		}
		o, err := e.commit(ctx, &unit{no: rows[0].No, tags: c})
		switch {
		case err != nil:
			return err
		case o.landed: // whether it was refused is not known; doing it again changes nothing else
			continue
		case o.tags == nil:
			continue // purged meanwhile; another may have its id
		case !o.tags.Fits:
			return invalid("set", "the instance would have %d tags, at most %d are allowed", o.tags.N, maxTags)
		}
		return nil
	}
}
