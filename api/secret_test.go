package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecret prints a secret in every way in which a program might do so by mistake.
func TestSecret(t *testing.T) {
	const text = "ehk1_topsecret"
	config := struct {
		Name  string
		Token Secret
		Old   []Secret
		At    *Secret
	}{"n", text, []Secret{text}, new(Secret)}
	*config.At = text
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		printed = append(printed, fmt.Sprintf(verb, config, config), fmt.Sprintf(verb, config.Token, config.Token), fmt.Sprintf(verb, *config.At, config.Old))
	}
	printed = append(printed, fmt.Sprint(config.Token), fmt.Errorf("bad %w %v", CodeDenied, config.Token).Error())
	for _, v := range []any{config, config.Token, &config, map[string]Secret{"a": text}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(b))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("opening", "token", config.Token, "config", config)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("opening", "token", config.Token, "config", config)
	printed = append(printed, log.String())
	hex := fmt.Sprintf("%x", text)
	for _, p := range printed {
		if low := strings.ToLower(p); strings.Contains(low, "topsecret") || strings.Contains(low, hex[10:]) {
			t.Errorf("the secret is shown: %s", p)
		}
	}
	if got := fmt.Sprintf("%v|%s", config.Token, Secret("")); got != "***|" {
		t.Errorf("got %s", got)
	}
	if config.Token.Reveal() != text {
		t.Errorf("revealed %q", config.Token.Reveal())
	}
}
