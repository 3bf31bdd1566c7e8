package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	placedLine = `{"client": 0, "operation": "place", "order": "k1", "began": 1.0, "ended": 2.0, "http_status": 201, "order_id": "o1", "version": 1, "status": "PENDING"}`
	lostLine   = `{"client": 1, "operation": "cancel", "order": "k1", "began": 3.0, "ended": null, "http_status": null, "order_id": null, "version": null, "status": null}`
	goneLine   = `{"client": 2, "operation": "read", "order": "k1", "began": 3.5, "ended": 4.0, "http_status": 404, "order_id": null, "version": null, "status": null}`
)

var patient = limits{order: time.Minute, file: time.Minute}

func check(t *testing.T, most limits, lines ...string) (int, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chaos-1-round-1.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	return run([]string{path}, most, &out, &out), out.String()
}

func TestWhatIsSaidOfAFile(t *testing.T) {
	for name, expected := range map[string]struct {
		most   limits
		lines  []string
		status int
		says   []string
	}{
		"a good one": {patient, []string{placedLine, lostLine}, linearizable,
			[]string{"chaos-1-round-1.jsonl: 2 calls of 1 orders: 0 not linearizable, 0 not decided in time\n"}},
		"a bad one": {patient, []string{placedLine, lostLine, goneLine}, notLinearizable, []string{
			"1 not linearizable", "order k1 is not linearizable:\n",
			"       0.0000 to    1.0000  client 0  place     201 version 1 PENDING of o1\n",
			"       2.0000 to      open  client 1  cancel    no answer\n",
			"       2.5000 to    3.0000  client 2  read      404  <- nothing explains this\n"}},
		"too late": {limits{time.Minute, time.Nanosecond}, []string{placedLine}, notChecked,
			[]string{"1 not decided in time\n", "order k1 was not decided in time: 1 calls\n"}},
		"not JSON":             {patient, []string{placedLine, "{"}, notChecked, []string{"cannot be checked: line 2 is not a call"}},
		"an unknown operation": {patient, []string{strings.Replace(placedLine, "place", "pay", 1)}, notChecked, []string{`line 1: "pay" is not`}},
		"no order":             {patient, []string{strings.Replace(placedLine, "k1", "", 1)}, notChecked, []string{"line 1: a call has no order"}},
		"a 2xx without an id":  {patient, []string{strings.Replace(placedLine, "o1", "", 1)}, notChecked, []string{"line 1: an answer 201 has no order_id"}},
		"an end before begin":  {patient, []string{strings.Replace(placedLine, "2.0", "0.5", 1)}, notChecked, []string{"line 1: the call ended before it began"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, said := check(t, expected.most, expected.lines...)
			if status != expected.status {
				t.Errorf("the exit status is %d and not %d", status, expected.status)
			}
			for _, sentence := range expected.says {
				if !strings.Contains(said, sentence) {
					t.Errorf("it does not say %q but\n%s", sentence, said)
				}
			}
		})
	}
}

func TestAFileThatIsNotThereIsNotChecked(t *testing.T) {
	var out strings.Builder
	if status := run([]string{"nowhere.jsonl"}, patient, &out, &out); status != notChecked {
		t.Errorf("the exit status is %d: %s", status, out.String())
	}
}
