"""Names of audited actions on pages. An action that is not listed is shown by its key."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class AuditAction:
    """An action. `reads`: somebody saw what its subject contains."""

    label: str
    reads: bool = False


AUDIT_ACTIONS: Final = {
    "account.changed": AuditAction("修改账号"),
    "account.created": AuditAction("建立账号"),
    "account.disabled": AuditAction("停用账号"),
    "account.password_changed": AuditAction("修改密码"),
    "account.password_reset": AuditAction("重置密码"),
    "account.recovery_codes_renewed": AuditAction("重新生成恢复码"),
    "account.second_factor_enrolled": AuditAction("绑定动态口令"),
    "account.second_factor_failed": AuditAction("动态口令错误"),
    "account.second_factor_removed": AuditAction("解除动态口令"),
    "account.second_factor_reset": AuditAction("重置动态口令"),
    "account.sessions_ended": AuditAction("退出其他设备"),
    "account.signed_in": AuditAction("登录"),
    "accounts.seeded": AuditAction("建立演示账号"),
    "attachment.read": AuditAction("查看附件", reads=True),
    "attachment.released": AuditAction("放行附件"),
    "audit.exported": AuditAction("导出审计日志"),
    "audit.read": AuditAction("查看审计日志"),
    "calendar.amend": AuditAction("修改工作日历"),
    "case.read": AuditAction("查看办件", reads=True),
    "campaign.created": AuditAction("建立评议活动"),
    "campaign.hidden_from_units": AuditAction("停止向单位公布"),
    "campaign.rules_replaced": AuditAction("更换规则"),
    "campaign.shown_to_units": AuditAction("向单位公布"),
    "campaign.unit_renamed": AuditAction("参评单位更名"),
    "campaign.unit_withdrawn": AuditAction("撤回参评单位"),
    "campaign.units_enrolled": AuditAction("增加参评单位"),
    "clock.held": AuditAction("时钟异常暂停"),
    "clock.released": AuditAction("时钟恢复"),
    "complainant.data_erased": AuditAction("销毁来件人信息"),
    "complainant.looked_up": AuditAction("查询来电人记录", reads=True),
    "complaint.merged": AuditAction("合并工单"),
    "summary.released": AuditAction("放行转办摘要"),
    "complaint.rated": AuditAction("来件人评价"),
    "complaint.read": AuditAction("查看受理详情", reads=True),
    "complaint.registered": AuditAction("登记工单"),
    "complaint.supplemented": AuditAction("补充说明"),
    "dead_letter.discarded": AuditAction("丢弃死信"),
    "dead_letter.replayed": AuditAction("重放死信"),
    "delivery.resent": AuditAction("重发通知"),
    "evidence.exported": AuditAction("导出评议存证"),
    "identity.revealed": AuditAction("查看联系方式", reads=True),
    "identity.reveal_threshold_exceeded": AuditAction("查看联系方式超过上限"),
    "import.ended": AuditAction("导入结束"),
    "import.started": AuditAction("开始导入"),
    "inputs.sealed": AuditAction("封存计分依据"),
    "key.destroyed": AuditAction("销毁密钥"),
    "key.rotated": AuditAction("更换密钥"),
    "obligation.fulfil": AuditAction("报送任务办结"),
    "opinions.read": AuditAction("查看文字意见", reads=True),
    "organisation.amended": AuditAction("更正单位登记信息"),
    "organisation.merged": AuditAction("单位合并"),
    "organisation.moved": AuditAction("单位改设上级"),
    "organisation.recorded": AuditAction("登记单位"),
    "organisation.renamed": AuditAction("单位更名"),
    "organisation.split": AuditAction("单位分设"),
    "organisation.withdrawn": AuditAction("撤回单位登记"),
    "outcomes.recorded": AuditAction("登记往年结果"),
    "report.listed": AuditAction("在列表中看到举报", reads=True),
    "score.decided": AuditAction("计分决定"),
    "score.decision_revoked": AuditAction("撤销计分决定"),
    "score.recounted": AuditAction("复算"),
    "subscription.set": AuditAction("设置订阅"),
    "subscription.stopped": AuditAction("停止订阅"),
    "template.written": AuditAction("修改通知模板"),
    "tokens.flooded": AuditAction("问卷码异常"),
    "tokens.issued": AuditAction("发放问卷码"),
    "visit.photo_received": AuditAction("收到检查照片"),
    "visit.submitted": AuditAction("提交检查记录"),
}
READ_ACTIONS: Final = tuple(key for key, action in AUDIT_ACTIONS.items() if action.reads)
