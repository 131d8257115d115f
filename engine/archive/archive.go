// Package archive is the form in which instances that have ended leave a database and enter another one: a gzip file of
// lines of JSON. The first line says what the file is, each further line is an instance with all that belongs to it, and the
// last one counts them and has the SHA-256 of everything before it, uncompressed. Instances are written and read one at a
// time, so that memory holds one of them and not the file.
package archive

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Format and Version are what the first line of a file says.
const (
	Format  = "weir-archive"
	Version = 1
)

// MaxLine is the longest line that is read, in bytes: an instance with its values.
const MaxLine = 1 << 30

// Header says what a file is.
type Header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	// Hub is the task hub whose instances these were.
	Hub       string    `json:"hub"`
	CreatedAt time.Time `json:"createdAt"`
}

// Footer ends a file.
type Footer struct {
	// Instances is how many there are.
	Instances int64 `json:"instances"`
	// SHA256 is the digest of all lines before this one, in hexadecimal digits.
	SHA256 string `json:"sha256"`
}

// Instance is one that has ended, with all that belongs to it.
type Instance struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Version     string            `json:"version,omitempty"`
	Status      string            `json:"status"`
	Priority    int16             `json:"priority"`
	CreatedAt   time.Time         `json:"createdAt"`
	UpdatedAt   time.Time         `json:"updatedAt"`
	StartedAt   *time.Time        `json:"startedAt,omitempty"`
	CompletedAt *time.Time        `json:"completedAt,omitempty"`
	ScheduledAt *time.Time        `json:"scheduledAt,omitempty"`
	Generation  int32             `json:"generation"`
	Tags        map[string]string `json:"tags,omitempty"`
	Parent      *Parent           `json:"parent,omitempty"`
	Input       *Value            `json:"input,omitempty"`
	Output      *Value            `json:"output,omitempty"`
	Failure     json.RawMessage   `json:"failure,omitempty"`
	// CustomStatus is what its code has said of itself last.
	CustomStatus *Value `json:"customStatus,omitempty"`
	// Seq is the number of its last history event, FirstSeq that of the first one of its generation.
	Seq      int64  `json:"seq"`
	FirstSeq int64  `json:"firstSeq"`
	History  []Turn `json:"history"`
	// Values are the large ones, to which others refer by number.
	Values   []Large    `json:"values,omitempty"`
	Progress []Progress `json:"progress,omitempty"`
}

// Parent is who waited for an instance: in which generation, and at which decision.
type Parent struct {
	ID         string `json:"id"`
	Generation int32  `json:"generation"`
	Task       int32  `json:"task"`
}

// Turn is what one commit added to the history: N events, of which the last one has the number Seq.
type Turn struct {
	Seq    int64           `json:"seq"`
	N      int32           `json:"n"`
	Events json.RawMessage `json:"events"`
}

// Large is a value that is stored by itself. Seq is the last history event that holds it; 0 if none does.
type Large struct {
	ID   int64 `json:"id"`
	Seq  int64 `json:"seq,omitempty"`
	Data Value `json:"data"`
}

// Progress is a record of the progress stream. Task is -1 and Attempt 0 for one of the orchestration's own code.
type Progress struct {
	Seq        int64     `json:"seq"`
	At         time.Time `json:"at"`
	Generation int32     `json:"generation"`
	Task       int32     `json:"task"`
	Attempt    int16     `json:"attempt"`
	Name       string    `json:"name,omitempty"`
	Value      *Value    `json:"value,omitempty"`
}

// Value is what user code has written: text, bytes that are not, or the number of a large value.
type Value struct {
	Text  *string `json:"text,omitempty"`
	Bytes []byte  `json:"base64,omitempty"`
	Ref   int64   `json:"ref,omitempty"`
}

// NewValue makes a value of bytes.
func NewValue(data []byte) Value {
	if utf8.Valid(data) {
		text := string(data)
		return Value{Text: &text}
	}
	return Value{Bytes: data}
}

// Data returns the bytes of a value that is in place.
func (v *Value) Data() []byte {
	if v.Text != nil {
		return []byte(*v.Text)
	}
	return v.Bytes
}

// line is one line of a file; one of its fields is set.
type line struct {
	Header   *Header   `json:"header,omitempty"`
	Instance *Instance `json:"instance,omitempty"`
	Footer   *Footer   `json:"footer,omitempty"`
}

// Error says in which line a file is not an archive, and why. Lines count from 1.
type Error struct {
	Line    int64
	Message string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }
