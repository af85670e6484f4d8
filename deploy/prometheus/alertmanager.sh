#!/bin/sh
# alertmanager.sh CONFIGURATION: print it with the receivers that the environment names.
#
#   ALERT_PAGE_WEBHOOK, ALERT_TICKET_WEBHOOK, ALERT_HEARTBEAT_WEBHOOK   URLs; an empty one alerts nobody
#   ALERT_MAIL_TO, ALERT_MAIL_FROM, ALERT_SMTP (host:port), ALERT_SMTP_USER, ALERT_SMTP_PASSWORD   mail for page and ticket
#
# Alertmanager reads no environment. What is printed holds secrets: keep it in memory (tmpfs), readable by its owner only.
set -eu

# A single-quoted YAML scalar.
quoted() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

webhook() {
    [ -z "$1" ] || printf '    webhook_configs: [{send_resolved: %s, url: %s}]\n' "$2" "$(quoted "$1")"
}

mail() {
    [ -n "${ALERT_MAIL_TO:-}" ] || return 0
    case ${ALERT_SMTP:-} in
        "" | :*) echo "alertmanager.sh: ALERT_MAIL_TO needs ALERT_SMTP, host:port" >&2 && exit 1 ;;
    esac
    : "${ALERT_MAIL_FROM:?ALERT_MAIL_TO needs ALERT_MAIL_FROM}"
    printf '    email_configs:\n      - {send_resolved: true, to: %s, from: %s, smarthost: %s' \
        "$(quoted "$ALERT_MAIL_TO")" "$(quoted "$ALERT_MAIL_FROM")" "$(quoted "$ALERT_SMTP")"
    if [ -n "${ALERT_SMTP_USER:-}" ]; then
        printf ', auth_username: %s, auth_password: %s' "$(quoted "$ALERT_SMTP_USER")" "$(quoted "${ALERT_SMTP_PASSWORD:-}")"
    fi
    printf '}\n'
}

while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
        "  - name: page") webhook "${ALERT_PAGE_WEBHOOK:-}" true && mail ;;
        "  - name: ticket") webhook "${ALERT_TICKET_WEBHOOK:-}" true && mail ;;
        "  - name: heartbeat") webhook "${ALERT_HEARTBEAT_WEBHOOK:-}" false ;;
    esac
done <"$1"
