"""Pages of notify: 消息中心, 发送记录, 通知模板, 订阅与升级."""

from services.notify.pages import deliveries, inbox, subscriptions, templates

routers = (inbox.router, deliveries.router, templates.router, subscriptions.router)
